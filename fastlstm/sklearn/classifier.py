"""Classes of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from fastlstm.models import Model
from fastlstm.sklearn.estimator import SequenceEstimator


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """Tell the class of a sequence, as a scikit-learn estimator.

    Recurrent layers read the sequence, and a ``Dense`` with softmax tells the classes from their
    last output. Inputs are scaled by mean and standard deviation of each feature, over all steps of
    the training set. X is (n, time, features), where sequences to predict may be of another length;
    or (n, time), a number for each step, as scikit-learn's tables are read: each column is a step
    of one feature.

    Parameters
    ----------
    units : int
        Size of the recurrent layers' states.
    layer : str
        Kind of layer: "LSTM", "GRU", "SimpleRNN" or another recurrent one of ``fastlstm.layers``.
    layers : int
        How many of them, one above the other.
    dropout : float
        Fraction of each layer's outputs to drop in training.
    learning_rate : float or LearningRateSchedule
        Of Adam, which trains the model with gradients clipped to a norm of 1.
    epochs : int
        Passes through the training set; the most, where there is ``patience``.
    batch_size : int
        Samples an update.
    patience : int, optional
        Stop after so many epochs in which the loss of samples held out has not improved, and go
        back to the best weights; by default train for all epochs, on all samples.
    validation_fraction : float
        Part of the samples to hold out where there is ``patience``, as much of each class if there
        are enough of all.
    model : callable, optional
        ``model((time, features), outputs)`` returns a ``Sequential`` or ``Model`` with so many
        outputs for a sequence, the last layer with softmax. Then ``units``, ``layer``, ``layers``
        and ``dropout`` are not used; nor is ``learning_rate`` if the model is compiled, with a loss
        for class ids.
    dtype : "float32" or "float64", optional
        Precision of the layers; ``fastlstm.config.floatx()`` by default.
    random_state : int, RandomState or None
        Where initial weights, order of samples, dropout and what is held out come from. With an
        int, each fit to the same data gives the same bits.
    verbose : int
        As for ``Sequential.fit``: 0 silent, 1 a progress bar, 2 one line an epoch.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    model_ : Sequential
        The trained model, for scaled inputs.
    history_ : dict of str to list
        Loss after each epoch, and that of the samples held out.
    n_iter_ : int
        Epochs trained.
    n_features_in_ : int
        Features of a step; or number of columns where X was (n, time).
    feature_names_in_ : ndarray
        Names of the columns, where X had any.
    input_shape_ : tuple
        (None, features) or (time, 1): shape of a sample.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from fastlstm.sklearn import SequenceClassifier
    >>> x = np.random.default_rng(0).standard_normal((120, 10, 2))
    >>> rises = np.where(x[:, -3:, 0].sum(axis=1) > 0, "up", "down")
    >>> classifier = SequenceClassifier(8, learning_rate=0.01, epochs=20, random_state=0)
    >>> bool(cross_val_score(classifier, x, rises, cv=3).mean() > 0.8)
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SequenceClassifier:
        """Train a new model.

        Parameters
        ----------
        X : array_like
            (n, time, features), or (n, time).
        y : array_like
            (n,) labels of any kind, at least two different ones.
        sample_weight : array_like, optional
            (n,) weights of the samples' losses and of their part in the scaling; only their ratios
            count.

        Returns
        -------
        SequenceClassifier
            The estimator itself.
        """
        samples, y = self._check_training(X, y)
        check_classification_targets(y)
        self.classes_, ids = np.unique(y, return_inverse=True)
        weight = self._check_weight(sample_weight, len(samples))
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least two classes to tell apart, got "
                f"one class: {self.classes_[0]!r}"
            )
        self._train(
            samples,
            ids,
            weight,
            outputs=len(self.classes_),
            activation="softmax",
            loss="sparse_categorical_crossentropy",
            classes=ids,
        )
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> SequenceClassifier:
        """Train on with more samples, which it goes through once, in batches.

        The first call makes the model, and takes the scale of the inputs from its samples; after
        ``fit``, what that has made is trained on. ``epochs`` and ``patience`` are not used.

        Parameters
        ----------
        X : array_like
            (n, time, features), or (n, time).
        y : array_like
            (n,) labels.
        classes : array_like, optional
            All labels that there will ever be; needed in the first call.
        sample_weight : array_like, optional
            (n,) weights of the samples' losses; only their ratios count.

        Returns
        -------
        SequenceClassifier
            The estimator itself.
        """
        first = not hasattr(self, "model_")
        samples, y = (self._check_training if first else self._check_more)(X, y)
        check_classification_targets(y)
        known = self._check_classes(classes)
        unknown = np.setdiff1d(y, known)
        if unknown.size:
            raise ValueError(
                f"y has the label {unknown.tolist()[0]!r}, which is none of the classes "
                f"{known.tolist()} that {type(self).__name__} was told of before"
            )
        self._train_more(
            samples,
            np.searchsorted(known, y),
            self._check_weight(sample_weight, len(samples)),
            outputs=len(known),
            activation="softmax",
            loss="sparse_categorical_crossentropy",
        )
        self.classes_ = known
        return self

    def _check_classes(self, classes: Any) -> np.ndarray:
        """The labels, sorted: those of the first call of ``partial_fit``, or those known since."""
        name = type(self).__name__
        given = None if classes is None else np.unique(np.asarray(classes))
        if hasattr(self, "model_"):
            known: np.ndarray = self.classes_
            if given is not None and not np.array_equal(given, known):
                raise ValueError(
                    f"{name} was told of classes {known.tolist()} before, and now of "
                    f"{given.tolist()}; they stay the same, as the model has an output for each"
                )
            return known
        if given is None:
            raise ValueError(
                f"{name} expects classes=, all labels that there will ever be, in the first call "
                "of partial_fit"
            )
        if len(given) < 2:
            raise ValueError(
                f"{name} expects at least two classes to tell apart, got {given.tolist()}"
            )
        return given

    def _build(self, *arguments: Any, **how: Any) -> Model:
        model = super()._build(*arguments, **how)
        assert model.loss is not None
        if not model.loss.sparse:
            raise ValueError(
                f"{type(self).__name__} trains on class ids, but the model was compiled with "
                f"{model.loss.name}; compile it with 'sparse_categorical_crossentropy', or leave "
                "compiling to the estimator"
            )
        return model

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, (n, classes) in the order of ``classes_``."""
        outputs = self._predict(X)
        shares: np.ndarray = outputs / outputs.sum(axis=1, keepdims=True)
        return shares

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each sequence, (n,)."""
        best = self._predict(X).argmax(axis=1)
        chosen: np.ndarray = self.classes_[best]
        return chosen
