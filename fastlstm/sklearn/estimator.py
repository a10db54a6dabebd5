"""What the estimators share: their parameters, their input, and the model that they train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y, validate_data

from fastlstm import layers as layer_classes
from fastlstm.callbacks import EarlyStopping
from fastlstm.layers import Dense, Dropout, Input
from fastlstm.layers.recurrent import Recurrent
from fastlstm.models import Model, Sequential
from fastlstm.optimizers import Adam
from fastlstm.randomness import drawing_from
from fastlstm.registry import find
from fastlstm.sklearn.scaling import Scaling
from fastlstm.validation import numeric_array, real_number, whole_number

_KINDS: dict[str, type[Recurrent]] = {
    kind.__name__: kind
    for kind in vars(layer_classes).values()
    if isinstance(kind, type) and issubclass(kind, Recurrent)
}
_FLOATS = (np.float64, np.float32)
# Results do not depend on it: as many samples as are worth the memory.
_PREDICTED_AT_ONCE = 256


class SequenceEstimator(BaseEstimator):
    """Base class: scale the input, train a model of recurrent layers, and call it."""

    def __init__(
        self,
        units: int = 32,
        layer: str = "LSTM",
        layers: int = 1,
        dropout: float = 0.0,
        learning_rate: Any = 1e-3,
        epochs: int = 100,
        batch_size: int = 32,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        model: Callable[[tuple[int, int], int], Model] | None = None,
        dtype: str | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.units = units
        self.layer = layer
        self.layers = layers
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.model = model
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # -- input --------------------------------------------------------------------------------

    def _check_training(self, X: Any, y: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """Samples (N, T, F) and checked targets; notes what samples look like."""
        for name in ("feature_names_in_", "n_features_in_", "_draws"):
            self.__dict__.pop(name, None)
        if _is_of_sequences(X):
            X, y = check_X_y(X, y, allow_nd=True, dtype=_FLOATS, estimator=self, **options)
            self.n_features_in_ = X.shape[2]
            self.input_shape_: tuple[int | None, int] = (None, X.shape[2])
            return X, y
        X, y = validate_data(self, X, y, dtype=_FLOATS, **options)
        self.input_shape_ = (X.shape[1], 1)
        return X[..., np.newaxis], y

    def _check_samples(self, X: Any) -> np.ndarray:
        """Samples (N, T, F) like those of the training."""
        check_is_fitted(self)
        if self._has_columns(X):
            return validate_data(self, X, reset=False, dtype=_FLOATS)[..., np.newaxis]
        X = check_array(X, allow_nd=True, dtype=_FLOATS, estimator=self, input_name="X")
        return self._check_features(X)

    def _check_more(self, X: Any, y: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """Samples (N, T, F) like those of the training, and checked targets."""
        if self._has_columns(X):
            X, y = validate_data(self, X, y, reset=False, dtype=_FLOATS, **options)
            return X[..., np.newaxis], y
        X, y = check_X_y(X, y, allow_nd=True, dtype=_FLOATS, estimator=self, **options)
        return self._check_features(X), y

    def _has_columns(self, X: Any) -> bool:
        """Whether X is (n, time), as in the training; an error if it is of the other kind."""
        steps, features = self.input_shape_
        if _is_of_sequences(X) != (steps is None):
            wanted = f"(n, time, {features})" if steps is None else f"(n, {steps})"
            raise ValueError(
                f"{type(self).__name__} was fitted to X of shape {wanted}, got {np.shape(X)}"
            )
        return steps is not None

    def _check_features(self, X: np.ndarray) -> np.ndarray:
        """Samples (N, T, F) with as many features as in the training."""
        features = self.input_shape_[1]
        if X.shape[2] != features:
            raise ValueError(
                f"X has {X.shape[2]} features a step, but {type(self).__name__} is expecting "
                f"{features} features as input"
            )
        return X

    def _check_weight(self, sample_weight: Any, count: int) -> np.ndarray:
        """Weights (N,) in float64; 1 where none are given."""
        if sample_weight is None:
            return np.ones(count)
        weight = check_array(
            sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
        )
        if weight.shape != (count,):
            raise ValueError(
                f"sample_weight expects a weight for each of the {count} samples, shape "
                f"({count},), got shape {weight.shape}"
            )
        if weight.min() < 0 or not weight.any():
            raise ValueError(
                "sample_weight expects weights of at least 0, and not all of them zero"
            )
        return weight

    # -- the model ----------------------------------------------------------------------------

    def _train(
        self,
        x: np.ndarray,
        y: np.ndarray,
        weight: np.ndarray,
        *,
        outputs: int,
        activation: str | None,
        loss: str,
        classes: np.ndarray | None = None,
    ) -> None:
        """Make ``model_`` and train it; ``classes`` of the samples keep their parts when split."""
        name = type(self).__name__
        epochs = whole_number(self.epochs, f"{name} epochs")
        random = check_random_state(self.random_state)
        seed = random.randint(np.iinfo(np.int32).max)
        self._x_scaling = Scaling.of(x, weight)
        x = self._x_scaling.apply(x)
        index = np.flatnonzero(weight)  # the others are as good as not there
        options: dict[str, Any] = {}
        if self.patience is not None:
            patience = whole_number(self.patience, f"{name} patience", 0)
            index, held = self._split(index, classes, random)
            options["validation_data"] = x[held], y[held], weight[held] / weight[held].mean()
            options["callbacks"] = EarlyStopping(patience=patience, restore_best_weights=True)
        weight = weight[index]
        if np.any(weight != weight[0]):
            options["sample_weight"] = weight / weight.mean()
        with drawing_from(np.random.default_rng(seed)):
            model = self._build(x.shape[1:], outputs, activation, loss)
            history = model.fit(
                x[index],
                y[index],
                batch_size=whole_number(self.batch_size, f"{name} batch_size"),
                epochs=epochs,
                verbose=int(self.verbose),
                **options,
            )
        self.model_, self.history_ = model, history.history
        self.n_iter_ = len(history.epoch)

    def _train_more(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray, **how: Any) -> None:
        """Go through more samples once; make ``model_`` where there is none, for ``_build``."""
        first = not hasattr(self, "model_")
        if not hasattr(self, "_draws"):
            self._draws = check_random_state(self.random_state)
        if first:
            self._x_scaling = Scaling.of(x, weight)
        x = self._x_scaling.apply(x)
        index = np.flatnonzero(weight)
        seed = self._draws.randint(np.iinfo(np.int32).max)
        with drawing_from(np.random.default_rng(seed)):
            model = self._build(x.shape[1:], **how) if first else self.model_
            history = model.fit(
                x[index],
                y[index],
                batch_size=whole_number(self.batch_size, f"{type(self).__name__} batch_size"),
                sample_weight=weight[index] / weight[index].mean(),
                verbose=int(self.verbose),
            )
        if first:
            self.model_, self.history_, self.n_iter_ = model, {"loss": []}, 0
        self.history_["loss"].extend(history.history["loss"])
        self.n_iter_ += 1

    def _split(
        self, index: np.ndarray, classes: np.ndarray | None, random: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        """The samples to train on, and those to hold out."""
        what = f"{type(self).__name__} validation_fraction"
        fraction = real_number(what, self.validation_fraction, above=0.0, below=1.0)
        stratify = None
        if classes is not None:
            counts = np.unique(classes[index], return_counts=True)[1]
            smaller = len(index) * min(fraction, 1 - fraction)
            if counts.min() > 1 and int(smaller) >= len(counts):
                stratify = classes[index]
        kept, held = train_test_split(
            index, test_size=fraction, random_state=random, stratify=stratify
        )
        return np.sort(kept), np.sort(held)

    def _build(
        self, sample: tuple[int, ...], outputs: int, activation: str | None, loss: str
    ) -> Model:
        """The model for samples (T, F), compiled: the caller's, or recurrent layers and a Dense."""
        steps, features = sample
        if self.model is None:
            model: Model = self._stack(features, outputs, activation)
        else:
            model = self.model((steps, features), outputs)
            if not isinstance(model, Model):
                raise TypeError(
                    f"{type(self).__name__} expects model to be a function that returns a "
                    f"Sequential or Model, got {type(model).__name__}"
                )
            shapes = model.output_shapes_of([(None, steps, features)])
            if shapes != [(None, outputs)]:
                raise ValueError(
                    f"{type(self).__name__} needs a model with {outputs} outputs for a sequence, "
                    f"shape {(None, outputs)}; that of model((time, features), outputs) gives "
                    f"{', '.join(map(str, shapes))}"
                )
        if model.optimizer is None:
            model.compile(Adam(self.learning_rate, global_clipnorm=1.0), loss)
        return model

    def _stack(self, features: int, outputs: int, activation: str | None) -> Sequential:
        count = whole_number(self.layers, f"{type(self).__name__} layers")
        kind = find("layer", self.layer, _KINDS)
        model = Sequential([Input((None, features))], name="sequence_estimator")
        for number in range(1, count + 1):
            model.add(
                kind(
                    self.units,
                    return_sequences=number < count,
                    name=f"recurrent_{number}",
                    dtype=self.dtype,
                )
            )
            if self.dropout:
                model.add(Dropout(self.dropout, name=f"dropout_{number}", dtype=self.dtype))
        model.add(Dense(outputs, activation=activation, name="outputs", dtype=self.dtype))
        return model

    def _predict(self, X: Any) -> np.ndarray:
        """The model's outputs (N, outputs) in float64."""
        samples = self._check_samples(X)
        scaled = self._x_scaling.apply(samples)
        outputs = self.model_.predict(scaled, batch_size=_PREDICTED_AT_ONCE, verbose=0)
        return outputs.astype(np.float64)


def _is_of_sequences(X: Any) -> bool:
    """Whether X is (n, time, features), array or nested lists."""
    if isinstance(X, (list, tuple)):
        X = numeric_array("X", X)
    return len(getattr(X, "shape", ())) == 3
