"""Numbers for sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin

from fastlstm.sklearn.estimator import SequenceEstimator
from fastlstm.sklearn.scaling import Scaling


class SequenceRegressor(RegressorMixin, MultiOutputMixin, SequenceEstimator):
    """Tell a number, or several, from a sequence, as a scikit-learn estimator.

    Recurrent layers read the sequence, and a ``Dense`` makes the numbers from their last output;
    what is trained is the mean squared error. Inputs and targets are scaled by mean and standard
    deviation of the training set, and predictions are in the units of y. X is as for
    ``SequenceClassifier``.

    Parameters
    ----------
    units, layer, layers, dropout, learning_rate, epochs, batch_size, patience, validation_fraction
        As for ``SequenceClassifier``.
    model : callable, optional
        ``model((time, features), outputs)`` returns a ``Sequential`` with so many outputs for a
        sequence, the last layer linear. It may be compiled, with any loss for numbers.
    dtype, random_state, verbose
        As for ``SequenceClassifier``.

    Attributes
    ----------
    model_ : Sequential
        The trained model, for scaled inputs and targets.
    history_, n_iter_, n_features_in_, feature_names_in_, input_shape_
        As for ``SequenceClassifier``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import TimeSeriesSplit, cross_val_score
    >>> from fastlstm.sklearn import SequenceRegressor
    >>> wave = 100 + 20 * np.sin(np.arange(400) / 5)
    >>> x = np.stack([wave[i : i + 12] for i in range(388)])
    >>> regressor = SequenceRegressor(8, learning_rate=0.01, epochs=20, random_state=0)
    >>> scores = cross_val_score(regressor, x, wave[12:], cv=TimeSeriesSplit(3))
    >>> bool(scores.min() > 0.9)
    True
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SequenceRegressor:
        """Train a new model.

        Parameters
        ----------
        X : array_like
            (n, time, features), or (n, time).
        y : array_like
            (n,) numbers, or (n, outputs).
        sample_weight : array_like, optional
            (n,) weights of the samples' losses and of their part in the scaling; only their ratios
            count.

        Returns
        -------
        SequenceRegressor
            The estimator itself.
        """
        samples, y = self._check_training(X, y, multi_output=True, y_numeric=True)
        weight = self._check_weight(sample_weight, len(samples))
        targets = np.asarray(y, np.float64).reshape(len(y), -1)
        self._y_scaling = Scaling.of(targets[:, np.newaxis], weight)
        self._y_sample = y.shape[1:]
        self._train(
            samples,
            self._y_scaling.apply(targets),
            weight,
            outputs=targets.shape[1],
            activation=None,
            loss="mse",
        )
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> SequenceRegressor:
        """Train on with more samples, which it goes through once, in batches.

        The first call makes the model, and takes the scales of inputs and targets from its samples;
        after ``fit``, what that has made is trained on. ``epochs`` and ``patience`` are not used.

        Parameters
        ----------
        X : array_like
            (n, time, features), or (n, time).
        y : array_like
            (n,) numbers, or (n, outputs).
        sample_weight : array_like, optional
            (n,) weights of the samples' losses; only their ratios count.

        Returns
        -------
        SequenceRegressor
            The estimator itself.
        """
        first = not hasattr(self, "model_")
        check = self._check_training if first else self._check_more
        samples, y = check(X, y, multi_output=True, y_numeric=True)
        weight = self._check_weight(sample_weight, len(samples))
        targets = np.asarray(y, np.float64).reshape(len(y), -1)
        if first:
            self._y_scaling = Scaling.of(targets[:, np.newaxis], weight)
            self._y_sample = y.shape[1:]
        elif y.shape[1:] != self._y_sample:
            raise ValueError(
                f"{type(self).__name__} was fitted to y of shape {('n', *self._y_sample)}, got "
                f"{y.shape}"
            )
        self._train_more(
            samples,
            self._y_scaling.apply(targets),
            weight,
            outputs=targets.shape[1],
            activation=None,
            loss="mse",
        )
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers for each sequence, in float64: (n,), or (n, outputs) where y was so."""
        outputs = self._predict(X)
        return self._y_scaling.undo(outputs).reshape(len(outputs), *self._y_sample)
