"""The model that people build most: layers one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastlstm import losses, optimizers
from fastlstm.layers.base import Layer
from fastlstm.layers.chain import Chain, has_time
from fastlstm.layers.input import Input
from fastlstm.layers.runner import Runner, as_mask
from fastlstm.losses.base import prepare_weights
from fastlstm.memory import aligned, check_room
from fastlstm.metrics import Metric
from fastlstm.metrics import get as get_metric
from fastlstm.models import saving
from fastlstm.models.bptt import chain_kind, check_bptt, train_windows
from fastlstm.models.memory import MemoryReport, memory_report
from fastlstm.models.stream import Stream
from fastlstm.models.summary import summary_lines
from fastlstm.models.supervised import Supervised
from fastlstm.models.targets import prepare_targets
from fastlstm.models.weights import weigh_classes
from fastlstm.training import loop
from fastlstm.training.data import Data
from fastlstm.training.history import History
from fastlstm.validation import as_floats


class Sequential:
    """Layers one after the other, with Keras' methods to train, test and use them.

    Parameters
    ----------
    layers : list of Layer, optional
        First to last; an ``Input`` may stand before them. More come with ``add``.
    name : str, optional
        Name in summaries and files.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm.layers import LSTM, Dense
    >>> model = Sequential([LSTM(8, input_shape=(None, 3)), Dense(1)])
    >>> model.compile(optimizer="adam", loss="mse")
    >>> model.predict(np.zeros((4, 10, 3)), verbose=0).shape
    (4, 1)
    """

    def __init__(self, layers: Sequence[Layer | Input] | None = None, name: str | None = None):
        self.name = name or "sequential"
        self.layers: list[Layer] = []
        self.stop_training = False
        self.history: History | None = None
        self.optimizer: optimizers.Optimizer | None = None
        self.loss: losses.Loss | None = None
        self.metrics: list[Metric] = []
        self.weighted_metrics: list[Metric] = []  # those of the metrics that see weights
        self._sample_shape: tuple[int | None, ...] | None = None
        self._runner = Runner(self.layers)
        self._params = np.empty(0, np.float32)
        self._grads = self._params
        self._adopted = 0
        self._familiar: tuple[Any, ...] = ()  # samples' shape and dtype that need no more checks
        self._familiar_output: tuple[int, ...] = ()
        for layer in layers or []:
            self.add(layer)

    # -- building -----------------------------------------------------------------------------

    def add(self, layer: Layer | Input) -> None:
        """Put a layer, or at the very start an ``Input``, on top."""
        if isinstance(layer, Input):
            if self.layers or self._sample_shape is not None:
                raise ValueError("Input is the first entry of a Sequential, got it later")
            self._sample_shape = layer.shape
            return
        if not isinstance(layer, Layer):
            raise TypeError(
                f"Sequential.add expects a layer, such as LSTM(32), got {type(layer).__name__}; "
                "a class needs its arguments, as in Dense(1)"
            )
        self._check_new(layer)
        if not self.layers and self._sample_shape is None:
            self._sample_shape = layer.input_shape
        if self._sample_shape is not None:
            shape = self.output_shape[1:] if self.layers else self._sample_shape
            self._build_layer(layer, shape)
        self.layers.append(layer)
        self._familiar = ()
        self._runner.forget()

    def _check_new(self, layer: Layer) -> None:
        layer.check_owner(self)
        if layer.outputs > 1:
            states = getattr(layer, "return_state", False)
            why = "return_state=True" if states else "merge_mode=None"
            raise ValueError(
                f"layer {layer.name!r} has {why} and so several outputs; Sequential passes on one. "
                "Call the layer itself on arrays to get them all"
            )
        if any(other.name == layer.name for other in self.layers):
            raise ValueError(
                f"a layer is named {layer.name!r} already; names in a model must differ"
            )
        if self.layers and layer.dtype != self.layers[0].dtype:
            raise ValueError(
                f"layer {layer.name!r} computes in {layer.dtype}, the others in "
                f"{self.layers[0].dtype}; one model has one precision"
            )
        if self.layers and layer.takes_ids:
            raise ValueError(f"{type(layer).__name__} takes ids and can only be the first layer")

    def _build_layer(self, layer: Layer, sample_shape: tuple[int | None, ...]) -> None:
        if layer.built:
            layer.check_input((None, *sample_shape))
        else:
            layer.build(sample_shape)

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        """Create the weights.

        Parameters
        ----------
        input_shape : tuple of int or None
            Shape of the input with the batch in front, such as (None, 10, 3).
        """
        if input_shape is not None and self._sample_shape is None:
            self._sample_shape = tuple(input_shape)[1:]
        if self._sample_shape is None:
            raise ValueError(
                "build needs the input's shape: build((None, time, features)), or input_shape on "
                "the first layer"
            )
        self._ensure_built(self._sample_shape)

    def _ensure_built(self, sample_shape: tuple[int | None, ...]) -> None:
        if self._adopted == len(self.layers):
            return
        shape = self._sample_shape or tuple(sample_shape)
        for layer in self.layers:
            self._build_layer(layer, shape)
            shape = layer.compute_output_shape(shape)
        if self._sample_shape is None:
            self._sample_shape = tuple(sample_shape)
        self._adopt()

    def _adopt(self) -> None:
        """Take the weights of all layers into the model, and let the optimizer know them."""
        self._gather()
        if self.optimizer is not None:
            self._build_optimizer(self.optimizer)

    def _gather(self) -> None:
        """Bring all weights into one flat buffer, which optimizers work on."""
        sizes = [layer.weight_count for layer in self.layers]
        dtype = self.layers[0].dtype
        needed = 2 * sum(sizes) * dtype.itemsize
        check_room(needed, "weights and their gradients", "make the layers smaller")
        params = aligned((sum(sizes),), dtype)
        grads = aligned(params.shape, dtype, np.zeros)
        at = 0
        for layer, size in zip(self.layers, sizes, strict=True):
            layer.adopt(self, params[at : at + size], grads[at : at + size])
            at += size
        self._params, self._grads = params, grads
        self._adopted = len(self.layers)
        self._familiar = ()
        self._runner.forget()

    def __getstate__(self) -> dict[str, Any]:
        nothing = self._params[:0]
        return {**self.__dict__, "_params": nothing, "_grads": nothing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._adopted:  # the layers' weights are arrays of their own now
            self._gather()

    def _build_optimizer(self, optimizer: optimizers.Optimizer) -> None:
        segments, at = [], 0
        for layer in self.layers:
            for name, weight in zip(layer.weight_names, layer.weights, strict=True):
                segments.append((f"{layer.name}/{name}", at, weight.size))
                at += weight.size
        optimizer.build(segments, self._params.size, self._params.dtype)

    @property
    def flat_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """All weights, and their gradients, each in one flat array."""
        return self._params, self._grads

    @property
    def lock(self) -> Any:
        """Held while anything is computed with the weights or gradients."""
        return self._runner.lock

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return bool(self.layers) and all(layer.built for layer in self.layers)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the input, None for the batch."""
        if self._sample_shape is None:
            raise ValueError("the model has not been built: its input shape is not known yet")
        return (None, *self._sample_shape)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Shape of the output, None for the batch."""
        return self.output_shape_of(self.input_shape)

    def output_shape_of(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Shape of the output for inputs of a shape, where they fit."""
        shape = tuple(input_shape[1:])
        for layer in self.layers:
            layer.check_input((input_shape[0], *shape))
            shape = layer.compute_output_shape(shape)
        return (input_shape[0], *shape)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name, or at this index."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"no layer is named {name!r}; the layers are {[layer.name for layer in self.layers]}"
        )

    # -- compiling ----------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        metrics: Sequence[Any] | None = None,
        weighted_metrics: Sequence[Any] | None = None,
    ) -> None:
        """Choose how the model is trained.

        Parameters
        ----------
        optimizer : str or Optimizer
            "adam", "sgd", "rmsprop" and so on, or an instance with options; see
            ``fastlstm.optimizers``.
        loss : str or Loss
            Such as "mse" or "sparse_categorical_crossentropy".
        metrics : list of str, Metric, Loss or callable, optional
            Such as ["accuracy"]; a function ``fn(y_true, y_pred)`` is called after each batch with
            copies. Without weights, as in Keras.
        weighted_metrics : list, optional
            The same, with sample and class weights. One that has the name of an entry of
            ``metrics`` is called "weighted_..." in logs.
        """
        if loss is None:
            raise ValueError("compile expects a loss, such as loss='mse'")
        # All of it or nothing: a name that is not known leaves the model as it was.
        chosen = (
            optimizers.get(optimizer),
            losses.get(loss),
            [get_metric(metric) for metric in as_list(metrics)],
            [get_metric(metric) for metric in as_list(weighted_metrics)],
        )
        chosen[1].check_reduces()
        _check_once([*chosen[2], *chosen[3]])
        if self._adopted and self._adopted == len(self.layers):
            self._build_optimizer(chosen[0])
        self.optimizer, self.loss, plain, self.weighted_metrics = chosen
        self.metrics = [*plain, *self.weighted_metrics]
        _tell_apart(plain, self.weighted_metrics)
        self._runner.forget()

    def metrics_by_weight(self) -> tuple[list[Metric], list[Metric]]:
        """The metrics that see no weights, and those that do."""
        weighted = self.weighted_metrics
        return self.metrics[: len(self.metrics) - len(weighted)], weighted

    def _compiled(self, what: str) -> tuple[optimizers.Optimizer, losses.Loss]:
        if self.optimizer is None or self.loss is None:
            raise RuntimeError(
                f"{what} needs a loss and an optimizer: call "
                "model.compile(optimizer='adam', loss='mse') first"
            )
        return self.optimizer, self.loss

    # -- what the training loop asks for ------------------------------------------------------

    def prepare_inputs(self, x: Any) -> np.ndarray:
        """Validated, contiguous samples; builds the model where that was not done."""
        samples, output_sample = self._check_inputs(x)
        self._make_familiar(samples, output_sample)
        return samples

    def prepare(self, x: Any, y: Any, sample_weight: Any = None, mask: Any = None) -> Data:
        """Validated samples, targets, weights, and which steps count."""
        _, loss = self._compiled("fit, evaluate and train_on_batch")
        samples, output_sample = self._check_inputs(x)
        shape = (len(samples), *output_sample)
        targets = prepare_targets(loss, y, shape, samples.shape, self.layers)
        weight = None
        if sample_weight is not None:
            weight = prepare_weights(sample_weight, shape[:-1], self.layers[0].dtype)
        steps = None if mask is None else self.prepare_mask(mask, samples)
        self._make_familiar(samples, output_sample)
        return Data(samples, targets, weight, steps)

    def prepare_mask(self, mask: Any, samples: np.ndarray) -> np.ndarray:
        """A validated mask, (N, T), of validated samples."""
        if not has_time(samples.ndim, self.layers[0].takes_ids):
            raise ValueError(
                f"mask says which steps of sequences count, but x has shape {samples.shape} and "
                "so no steps"
            )
        return as_mask(mask, samples.shape[:2]).astype(np.uint8)

    def weigh_classes(self, data: Data, class_weight: Any) -> Data:
        """The data with weights times those of the targets' classes."""
        _, loss = self._compiled("class_weight")
        classes = int(self.output_shape[-1] or 0)
        return weigh_classes(data, class_weight, classes, loss.sparse, self.layers[0].dtype)

    def _check_inputs(self, x: Any) -> tuple[np.ndarray, tuple[int, ...]]:
        """Validated, contiguous samples, and the shape of the output for one; builds nothing."""
        if type(x) is np.ndarray and (x.shape[1:], x.dtype) == self._familiar and x.size:
            return as_floats(x, self.layers[0].dtype, "x"), self._familiar_output
        samples = self._runner.prepare_inputs(x)
        # Every layer has its say before anything is built.
        output = self.output_shape_of(samples.shape)
        return samples, tuple(int(size or 0) for size in output[1:])

    def _make_familiar(self, samples: np.ndarray, output_sample: tuple[int, ...]) -> None:
        """Build for samples like these; their like needs fewer checks from now on."""
        self._ensure_built(samples.shape[1:])
        if not self.layers[0].takes_ids:
            self._familiar = samples.shape[1:], samples.dtype
            self._familiar_output = output_sample

    def check_bptt(self, bptt: Any) -> str | int:
        """The argument ``bptt`` of ``fit``, if this model can be trained so; an error otherwise."""
        return check_bptt(bptt, self)

    def batch_shape(self, x: np.ndarray, batch: int) -> tuple[int, ...]:
        """Shape of so many samples of x, time first."""
        sample = x.shape[1:]
        timed = has_time(x.ndim, self.layers[0].takes_ids)
        return (sample[0], batch, *sample[1:]) if timed else (batch, *sample)

    def _step(
        self,
        data: Data,
        index: np.ndarray,
        task: str,
        bptt: str | int = "full",
        window: tuple[int, int] | None = None,
    ) -> Supervised:
        """What computes a batch, or a window of its steps: the first one, and how many."""
        shape = self.batch_shape(data.x, index.size)
        start, steps = window or (0, shape[0])
        kind = chain_kind(bptt, shape, has_time(data.x.ndim, self.layers[0].takes_ids))
        given = {"weighted": data.weight is not None, "masked": data.mask is not None}
        chain = self._runner.chain((steps, *shape[1:]), kind, model=self, task=task, **given)
        chain.load(data, index, start)
        return chain

    def train_step(self, data: Data, index: np.ndarray, bptt: str | int = "full") -> float:
        """One update from the samples ``index``, or one a window; returns their loss.

        A loss that is not finite updates nothing; nor does a gradient, for which NaN is returned.
        """
        with self._runner.lock:
            if isinstance(bptt, int):
                return train_windows(
                    lambda *window: self._step(data, index, "train", window=window),
                    data.x.shape[1],
                    bptt,
                )
            chain = self._step(data, index, "train", bptt)
            loss = chain.train()
            if np.isfinite(loss):
                chain.commit()
            return loss

    def test_step(self, data: Data, index: np.ndarray) -> float:
        """Loss and metrics of the samples ``index``."""
        with self._runner.lock:
            chain = self._step(data, index, "test")
            loss = chain.test()
            chain.commit()
            return loss

    def predict_step(
        self, x: np.ndarray, index: np.ndarray, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """Output for the samples ``index`` of x, which ``prepare_inputs`` returned."""
        with self._runner.lock:
            masked = {} if mask is None else {"masked": True}
            chain = self._runner.chain(self.batch_shape(x, index.size), Chain, **masked)
            if mask is not None:
                np.copyto(chain.mask, mask[index].T)
            chain.feed(index, x=x)
            output = chain.predict()
            chain.commit()
            return output

    def finalize_weights(self) -> None:
        """Put the optimizer's running mean of the weights in their place, where it keeps one."""
        optimizer, _ = self._compiled("finalize_weights")
        with self._runner.lock:
            optimizer.finalize_variable_values(self._params)
            for layer in self.layers:
                layer.changed()

    # -- training and using -------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        class_weight: Any = None,
        **options: Any,
    ) -> History:
        """Train the model; see ``fastlstm.training.loop.fit`` for all arguments.

        Returns
        -------
        History
            ``history.history`` has a list for the loss and each metric, one value an epoch.
        """
        self._compiled("fit")
        return loop.fit(
            self,
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            validation_data=validation_data,
            shuffle=shuffle,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            class_weight=class_weight,
            **options,
        )

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        **options: Any,
    ) -> Any:
        """Loss and metrics on arrays; see ``fastlstm.training.loop.evaluate``."""
        self._compiled("evaluate")
        return loop.evaluate(
            self,
            x,
            y,
            batch_size=batch_size,
            verbose=verbose,
            sample_weight=sample_weight,
            **options,
        )

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: int | str = "auto", **options: Any
    ) -> np.ndarray:
        """Output for arrays, in batches; see ``fastlstm.training.loop.predict``."""
        return loop.predict(self, x, batch_size=batch_size, verbose=verbose, **options)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Output for one batch, (batch, ...), all of it at once."""
        return self(x)

    def stream(self, batch: int = 1) -> Stream:
        """Run sequences step by step, as values arrive.

        Parameters
        ----------
        batch : int
            Number of sequences side by side.

        Returns
        -------
        Stream
            Its ``step(x)`` takes the next input of each row; see ``fastlstm.models.stream``.
        """
        self._need_weights()
        self._ensure_built(self.input_shape[1:])
        return Stream(self, batch)

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
        *,
        bptt: Any = "full",
    ) -> Any:
        """One update from one batch, or one for each window of ``bptt`` steps, as in ``fit``.

        ``class_weight`` is a dict of weights by class, as in ``fit``.

        Returns
        -------
        float, list or dict
            The loss; with metrics a list [loss, *metrics], or a dict where ``return_dict``.
        """
        self._compiled("train_on_batch")
        data = self.prepare(x, y, sample_weight)
        if class_weight is not None:
            data = self.weigh_classes(data, class_weight)
        bptt = self.check_bptt(bptt)
        self._reset_metrics()
        loss = self.train_step(data, np.arange(len(data.x)), bptt)
        if not np.isfinite(loss):
            since = "" if isinstance(bptt, str) else " from that window on"
            raise FloatingPointError(
                f"the loss of this batch, or its gradient, is {loss}; nothing was updated{since}. "
                "Lower "
                "the learning rate, set clipnorm on the optimizer, or check the scale of the data"
            )
        return self._results(loss, return_dict)

    def test_on_batch(
        self, x: Any, y: Any, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Loss and metrics of one batch, as ``train_on_batch`` returns them."""
        self._compiled("test_on_batch")
        data = self.prepare(x, y, sample_weight)
        self._reset_metrics()
        return self._results(self.test_step(data, np.arange(len(data.x))), return_dict)

    def _reset_metrics(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def _results(self, loss: float, as_dict: bool) -> Any:
        values = {"loss": loss, **{metric.name: metric.result() for metric in self.metrics}}
        if as_dict:
            return values
        return list(values.values()) if self.metrics else loss

    def value_and_grad(
        self, x: Any, y: Any, sample_weight: Any = None, *, bptt: Any = "full"
    ) -> tuple[float, list[np.ndarray]]:
        """Loss of a batch and its gradient; updates nothing.

        Dropout is active, as in training; states of stateful layers stay as they are. With
        ``bptt="checkpoint"`` it takes less memory, as in ``fit``.

        Returns
        -------
        loss : float
        grads : list of ndarray
            Gradients in the order and shapes of ``get_weights``.
        """
        self._compiled("value_and_grad")
        data = self.prepare(x, y, sample_weight)
        bptt = check_bptt(bptt, self, windows=False)
        with self._runner.lock:
            chain = self._step(data, np.arange(len(data.x)), "gradient", bptt)
            loss = chain.evaluate()
            chain.backward()
            return loss, [grad.copy() for layer in self.layers for grad in layer.grads()]

    def __call__(self, x: Any, *, mask: Any = None, training: bool = False) -> np.ndarray:
        """Output for a batch of arrays.

        Parameters
        ----------
        x : array_like
            Batch first.
        mask : array_like, optional
            (batch, time) of booleans for the recurrent layers.
        training : bool
            Whether dropout is active.
        """
        output: np.ndarray = self._runner.call(
            x, mask=mask, training=training, prepare=self.prepare_inputs
        )
        return output

    # -- weights and states -------------------------------------------------------------------

    @property
    def weight_names(self) -> list[str]:
        """Names of all weights, such as "lstm/kernel", in the order of ``get_weights``."""
        return [f"{layer.name}/{name}" for layer in self.layers for name in layer.weight_names]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, layer by layer, in Keras' order and shapes."""
        self._need_weights()
        return [weight for layer in self.layers for weight in layer.get_weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights; nothing changes unless all of them fit."""
        self._need_weights()
        counts = [len(layer.weight_names) for layer in self.layers]
        if len(weights) != sum(counts):
            raise ValueError(f"the model has {sum(counts)} weights, got {len(weights)}")
        rest, parts = list(weights), []
        for layer, count in zip(self.layers, counts, strict=True):
            parts.append(layer.check_weights(rest[:count]))
            del rest[:count]
        with self._runner.lock:
            for layer, part in zip(self.layers, parts, strict=True):
                layer.set_weights(part)

    def count_params(self) -> int:
        """Number of trainable numbers."""
        self._need_weights()
        return sum(layer.weight_count for layer in self.layers)

    def _need_weights(self) -> None:
        if not self.built:
            raise ValueError(
                "the model has no weights yet: build it with build((None, time, features)), give "
                "the first layer an input_shape, or call it on data"
            )

    @property
    def stateful(self) -> bool:
        """Whether any layer carries states from batch to batch."""
        return any(getattr(layer, "stateful", False) for layer in self.layers)

    def reset_states(self) -> None:
        """Forget the carried states of all layers."""
        for layer in self.layers:
            if hasattr(layer, "reset_states"):
                layer.reset_states()

    # -- files and text -----------------------------------------------------------------------

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the model, its weights and the optimizer's state to one file.

        The file is in the safetensors format, whatever its name; an interrupted save leaves the
        old file as it was.
        """
        self._need_weights()
        saving.save_model(self, filepath, overwrite=overwrite)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights alone."""
        self._need_weights()
        saving.save_weights(self, filepath, overwrite=overwrite)

    def load_weights(self, filepath: Any) -> None:
        """Read weights that ``save_weights`` or ``save`` wrote for the same layers."""
        self._need_weights()
        saving.load_weights(self, filepath)

    def get_config(self) -> dict[str, Any]:
        """Names, input shape and layers, as plain values."""
        return {
            "name": self.name,
            "input_shape": None if self._sample_shape is None else list(self._sample_shape),
            "layers": [
                {"class_name": type(layer).__name__, "config": layer.get_config()}
                for layer in self.layers
            ],
        }

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print a table of the layers, their output shapes and numbers of weights."""
        for line in summary_lines(self):
            print_fn(line)

    def memory_report(
        self, batch: int, time: int | None = None, bptt: Any = "full"
    ) -> MemoryReport:
        """Bytes that training and prediction will take, before anything is run.

        Parameters
        ----------
        batch : int
            Samples in a batch.
        time : int, optional
            Steps of a sequence, where the input's shape does not fix them.
        bptt : "full", "checkpoint" or int
            How ``fit`` is to go back through time.

        Returns
        -------
        MemoryReport
            ``print`` it for a table; ``report.training.total`` is a number of bytes.
        """
        return memory_report(self, batch, time, bptt)

    def __repr__(self) -> str:
        return f"<Sequential name={self.name!r}, {len(self.layers)} layers>"


def as_list(entries: Any) -> list[Any]:
    """One entry or several, or None, as a list."""
    if entries is None:
        return []
    return list(entries) if isinstance(entries, (list, tuple)) else [entries]


def _check_once(metrics: list[Metric]) -> None:
    """An error where one metric would count everything twice."""
    for number, metric in enumerate(metrics):
        if any(metric is other for other in metrics[:number]):
            raise ValueError(
                f"compile got the metric {metric!r} twice, which would count everything twice; "
                "make one for each place"
            )


def _tell_apart(plain: list[Metric], weighted: list[Metric]) -> None:
    """Give each metric a name of its own, as Keras does."""
    seen: set[str] = set()
    for metric in [*plain, *weighted]:
        if metric.name in seen and any(metric is other for other in weighted):
            metric.name = f"weighted_{metric.name}"
        name, number = metric.name, 0
        while metric.name in seen:
            number += 1
            metric.name = f"{name}_{number}"
        seen.add(metric.name)
