"""Many small models of one architecture, trained and run side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastlstm import losses, optimizers
from fastlstm.kernels.parallel import get_num_threads
from fastlstm.kernels.replicas import Replicas
from fastlstm.layers.chain import Chain
from fastlstm.layers.input import Input
from fastlstm.layers.runner import Arrays
from fastlstm.memory import Arena
from fastlstm.metrics import Metric
from fastlstm.metrics import get as get_metric
from fastlstm.models import saving
from fastlstm.models.cloning import clone_model
from fastlstm.models.goals import as_list
from fastlstm.models.model import Model
from fastlstm.models.named import by_name
from fastlstm.models.sequential import Sequential
from fastlstm.models.supervised import Supervised
from fastlstm.models.targets import label_counts
from fastlstm.randomness import rng
from fastlstm.registry import serialize
from fastlstm.training import loop
from fastlstm.training.data import Data
from fastlstm.training.history import History
from fastlstm.validation import as_floats, numeric_array, whole_number


class Ensemble:
    """Independent models of the same layers, each with weights, data and optimizer of its own.

    One model for each of a thousand series, say. A small model is too little work to be shared
    between threads, and calling a thousand of them one by one costs more than it computes. Here
    each thread takes models and does whole steps of them, in one launch. Every model ends up with
    the bits that it would have on its own.

    Parameters
    ----------
    model : Sequential or Model
        The architecture, built, with one output; if it is compiled, optimizer, loss and metrics as
        well. It stays as it is. For several inputs arrays come as a list or a dict, as for
        ``Model``.
    count : int
        Number of models. Each starts with weights drawn anew by the layers' initializers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm import Sequential
    >>> from fastlstm.layers import LSTM, Dense
    >>> model = Sequential([LSTM(8, input_shape=(12, 1)), Dense(1)])
    >>> model.compile(optimizer="adam", loss="mse")
    >>> ensemble = Ensemble(model, 100)
    >>> x = np.random.default_rng(0).standard_normal((100, 32, 12, 1))
    >>> history = ensemble.fit(x, x[:, :, -1], epochs=2, verbose=0)
    >>> ensemble.predict(x, verbose=0).shape
    (100, 32, 1)
    """

    def __init__(self, model: Model, count: int) -> None:
        self.count = whole_number(count, "Ensemble count")
        if not isinstance(model, Model):
            raise TypeError(f"Ensemble expects a Sequential or a Model, got {type(model).__name__}")
        if len(model.graph.outputs) > 1:
            raise ValueError(
                f"Ensemble expects a model with one output, got {len(model.graph.outputs)}: "
                f"{model.output_names}; join them by Concatenate"
            )
        if model.stateful:
            raise ValueError("Ensemble expects a model without stateful layers")
        _refuse_functions(model.metrics)
        self._model = copy_of(model)
        self.stop_training = False
        self.history: History | None = None
        self.stateful = False
        self._params = np.stack([self._drawn() for _ in range(self.count)])
        self._kept = np.empty((count, 0, 0), self._params.dtype)  # what the optimizers keep
        self._bounds: dict[Any, _Bound] = {}
        if model.optimizer is not None:
            self._start_training()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bounds": {}}

    def _drawn(self) -> np.ndarray:
        model = self._model
        for layer in model.all_layers:
            layer.initialize()
        return model.flat_weights[0].copy()

    # -- compiling ----------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **rest: Any,
    ) -> None:
        """Choose how the models are trained; see ``Sequential.compile``.

        ``loss_weights`` is for several outputs, which these models have not.
        """
        if loss_weights is not None:
            raise ValueError(
                f"an Ensemble's models have one output, whose loss weighs 1; got loss_weights="
                f"{loss_weights!r}. Leave it out; metrics are metrics=[...]"
            )
        _refuse_functions(map(get_metric, [*as_list(metrics), *as_list(weighted_metrics)]))
        self._model.compile(optimizer, loss, None, metrics, weighted_metrics, **rest)
        self._start_training()

    def _start_training(self) -> None:
        self._bounds.clear()
        if self.optimizer is not None:
            self._kept = np.repeat(self.optimizer.buffer[None], self.count, axis=0)

    @property
    def optimizer(self) -> optimizers.Optimizer | None:
        """The optimizer: one learning rate for all models, moments for each."""
        return self._model.optimizer

    @property
    def loss(self) -> losses.Loss | None:
        """The loss."""
        return self._model.loss

    @property
    def metrics(self) -> list[Any]:
        """The metrics: means over all models."""
        return self._model.metrics

    # -- what the training loop asks for ------------------------------------------------------

    def prepare_inputs(self, x: Any) -> Arrays:
        """Validated samples, (samples, models, ...)."""
        samples = self._model.prepare_inputs(self._inputs_together(x)[0])
        return tuple(map(self._apart, samples))

    def prepare(self, x: Any, y: Any, sample_weight: Any = None, mask: Any = None) -> Data:
        """Validated samples, targets and weights, each (samples, models, ...)."""
        if mask is not None:
            self.prepare_mask(mask, x)
        flat_x, samples = self._inputs_together(x)
        flat_y = None if y is None else self._together("y", y, samples)
        weight = sample_weight
        if weight is not None:
            weight = self._together("sample_weight", weight, samples)
        return self._model.prepare(flat_x, flat_y, weight).map(self._apart)

    def _inputs_together(self, x: Any) -> tuple[Any, int]:
        """The input, or each of several, as one model takes it; and samples of a model."""
        names = self._model.input_names
        given = by_name(x, names, "x")
        if len(names) == 1:
            flat = self._together("x", given[0])
            return flat, len(flat) // self.count
        found: list[np.ndarray] = []
        for name, values in zip(names, given, strict=True):
            samples = len(found[0]) // self.count if found else None
            found.append(self._together(f"x[{name!r}]", values, samples))
        return found, len(found[0]) // self.count

    def _together(self, name: str, values: Any, samples: int | None = None) -> np.ndarray:
        """(models, samples, ...) seen as (models · samples, ...), as one model takes them."""
        array = numeric_array(name, values)
        fits = array.ndim >= 2 and array.shape[0] == self.count
        if not fits or (samples is not None and array.shape[1] != samples):
            known = "samples" if samples is None else samples
            raise ValueError(
                f"an Ensemble of {self.count} models expects {name} of shape "
                f"(models, samples, ...) = ({self.count}, {known}, ...), got {array.shape}; for "
                f"the same {name} in every model: np.broadcast_to({name}, (models, *{name}.shape))"
            )
        return array.reshape(-1, *array.shape[2:])

    def _apart(self, flat: np.ndarray) -> np.ndarray:
        """(models · samples, ...) seen as (samples, models, ...): the loop counts samples."""
        return flat.reshape(self.count, -1, *flat.shape[1:]).swapaxes(0, 1)

    def weigh_classes(self, data: Data, class_weight: Any) -> Data:
        """The data with weights times those of the targets' classes."""
        together = data.map(lambda array: array.swapaxes(0, 1))
        weighed = self._model.weigh_classes(together, class_weight)
        return weighed.map(lambda array: array.swapaxes(0, 1))

    def _bound(self, data: Data, index: np.ndarray, task: str) -> _Bound:
        """The layers bound to a batch of each model, with the samples ``index`` to come."""
        model, weighted = self._model, data.weight is not None
        shapes = model.batch_shapes(tuple(x[:, 0] for x in data.x), index.size)
        labels = {} if task == "predict" else label_counts(model.goals, data.y)
        key = (shapes, task, weighted, get_num_threads(), *labels.items())
        if key not in self._bounds:
            kind: Any = Chain
            options: dict[str, Any] = {}
            if task != "predict":
                kind, options = Supervised, {"model": model, "weighted": weighted, "task": task}
                options |= labels
            arena = Arena()
            chain = arena.lay_out(lambda plan: kind(model.graph, shapes, plan, **options))
            self._bounds[key] = _Bound(self, arena, chain)
        bound = self._bounds[key]
        bound.feed(data, index)
        return bound

    def check_bptt(self, bptt: Any) -> str:
        """An error unless ``bptt`` is "full"."""
        if bptt not in (None, "full"):
            raise ValueError(f"an Ensemble trains with bptt='full', got {bptt!r}")
        return "full"

    def train_step(self, data: Data, index: np.ndarray, bptt: str | int = "full") -> float:
        """One update of every model from its samples ``index``; their mean loss."""
        return float(self._train(data, index).mean())

    def _train(self, data: Data, index: np.ndarray) -> np.ndarray:
        assert self.optimizer is not None
        with self._model.lock:
            bound = self._bound(data, index, "train")
            self.optimizer.prepare()
            losses = bound.run()
            self._restart(~np.isfinite(losses))
            self.optimizer.steps += 1
            return losses

    def _restart(self, halted: np.ndarray) -> None:
        """Models that were not updated: what is counted for all of them must hold for these too."""
        assert self.optimizer is not None
        if halted.any():
            rows = list(self.optimizer.state())
            if "gradient_accumulator" in rows:
                self._kept[halted, rows.index("gradient_accumulator")] = 0
            if "average" in rows and self.optimizer.iterations == 0:
                self._kept[halted, rows.index("average")] = self._params[halted]

    def finalize_weights(self) -> None:
        """Put the running means of the weights in their place, where the optimizer keeps them."""
        assert self.optimizer is not None
        if self.optimizer.use_ema and self.optimizer.steps:
            row = list(self.optimizer.state()).index("average")
            self.optimizer.put_averages(self._params, self._kept[:, row])

    def test_step(self, data: Data, index: np.ndarray) -> float:
        """Mean loss of all models for their samples ``index``; updates the metrics."""
        return float(self._test(data, index).mean())

    def _test(self, data: Data, index: np.ndarray) -> np.ndarray:
        with self._model.lock:
            return self._bound(data, index, "test").run()

    samples_first = False

    def prepare_mask(self, mask: Any, samples: Arrays) -> np.ndarray:
        """Refused: every model has steps of its own."""
        raise ValueError(
            "an Ensemble takes no mask and no sequences of unequal length; mark the steps that do "
            "not count in the data, for a Masking layer or Embedding(mask_zero=True)"
        )

    def predict_step(
        self, x: Arrays, index: np.ndarray, mask: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Outputs (samples, models, ...) for the samples ``index``."""
        with self._model.lock:
            return [self._bound(Data(x, ()), index, "predict").predict().swapaxes(0, 1)]

    # -- training and using -------------------------------------------------------------------

    def fit(self, x: Any, y: Any = None, **options: Any) -> History:
        """Train every model on its own data; arguments as for ``Sequential.fit``.

        Parameters
        ----------
        x : array_like
            (models, samples, ...).
        y : array_like
            (models, samples, ...).
        **options
            As for ``Sequential.fit``. All models take samples of the same numbers at a time.

        Returns
        -------
        History
            Losses and metrics, means over all models.
        """
        return loop.fit(self, x, y, **options)

    def evaluate(self, x: Any, y: Any = None, **options: Any) -> Any:
        """Mean loss and metrics of all models; arguments as for ``Sequential.evaluate``."""
        return loop.evaluate(self, x, y, **options)

    def predict(self, x: Any, **options: Any) -> np.ndarray:
        """Outputs (models, samples, ...); arguments as for ``Sequential.predict``."""
        return loop.predict(self, x, **options).swapaxes(0, 1)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Outputs (models, samples, ...), all samples at once."""
        samples = self.prepare_inputs(x)
        (outputs,) = self.predict_step(samples, np.arange(len(samples[0])))
        return outputs.swapaxes(0, 1)

    def train_on_batch(
        self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> np.ndarray:
        """One update of every model from one batch; arguments as for ``Sequential``.

        Returns
        -------
        ndarray
            (models,) losses. Where one is not finite, that model was not updated.
        """
        data = self.prepare(x, y, sample_weight)
        if class_weight is not None:
            data = self.weigh_classes(data, class_weight)
        return self._train(data, np.arange(len(data)))

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None) -> np.ndarray:
        """Losses (models,) of one batch."""
        data = self.prepare(x, y, sample_weight)
        return self._test(data, np.arange(len(data)))

    # -- weights ------------------------------------------------------------------------------

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights in Keras' order, each (models, ...)."""
        return [weight.copy() for weight in self._weights()]

    def set_weights(self, weights: Any) -> None:
        """Replace all weights; the shapes must be those of ``get_weights``."""
        own = self._weights()
        if len(weights) != len(own):
            raise ValueError(f"the models have {len(own)} weights, got {len(weights)}")
        checked = [as_floats(weight, self._params.dtype, "weight") for weight in weights]
        for number, (target, value) in enumerate(zip(own, checked, strict=True)):
            if target.shape != value.shape:
                raise ValueError(
                    f"weight {number} expects shape {target.shape}, models in front; "
                    f"got {value.shape}"
                )
        for target, value in zip(own, checked, strict=True):
            target[...] = value

    def state(self) -> dict[str, np.ndarray]:
        """What the optimizers keep of each weight, by name, each (models, weights): copies.

        With ``get_weights`` and ``optimizer.steps`` all that training goes on from.
        """
        names = [] if self.optimizer is None else self.optimizer.state()
        return {name: self._kept[:, row].copy() for row, name in enumerate(names)}

    def load_state(self, state: Mapping[str, np.ndarray], steps: int) -> None:
        """Take over what ``state`` gave.

        Parameters
        ----------
        state : mapping of str to ndarray
            Of each name (models, weights).
        steps : int
            Gradients that led to it.

        Raises
        ------
        RuntimeError
            If the models are not compiled.
        ValueError
            If names, shapes or ``steps`` do not fit; nothing has changed then.
        """
        if self.optimizer is None:
            raise RuntimeError("load_state needs compile() to be called first")
        shape = (self.count, self._kept.shape[2])
        for name, values in state.items():
            if np.shape(values) != shape:
                raise ValueError(f"{name!r} expects shape {shape}, got {np.shape(values)}")
        # The template's own are those of the first model; it checks names and steps.
        self.optimizer.load_state({name: values[0] for name, values in state.items()}, steps)
        for row, name in enumerate(self.optimizer.state()):
            self._kept[:, row] = state[name]

    def _weights(self) -> list[np.ndarray]:
        views, at = [], 0
        for layer in self._model.all_layers:
            for weight in layer.weights:
                part = self._params[:, at : at + weight.size]
                views.append(part.reshape(self.count, *weight.shape))
                at += weight.size
        return views

    @property
    def weight_names(self) -> list[str]:
        """Names of the weights, in the order of ``get_weights``."""
        return self._model.weight_names

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights of all models to one file."""
        saving.save_weights(self, filepath, overwrite=overwrite)

    save = save_weights

    def load_weights(self, filepath: Any) -> None:
        """Read weights that ``save_weights`` wrote."""
        saving.load_weights(self, filepath)

    def reset_states(self) -> None:
        """Nothing to do: no layer carries states."""

    def __len__(self) -> int:
        """Number of models."""
        return self.count

    def __getitem__(self, number: int) -> Any:
        """A copy of one model."""
        made = copy_of(self._model)
        made.set_weights([weight[number] for weight in self._weights()])
        return made

    def __repr__(self) -> str:
        return f"<Ensemble of {self.count} models>"


class _Bound:
    """One model's chain, and its replicas for all of them."""

    def __init__(self, ensemble: Ensemble, arena: Arena, chain: Chain) -> None:
        model, program = ensemble._model, chain.program
        self.arena, self.chain, self.ensemble = arena, chain, ensemble
        count = ensemble.count
        stacks = [(model.flat_weights[0], ensemble._params)]
        drawn = [seed for op in chain.ops for seed in op.seeds]
        self.seeds = [np.zeros((count, 1), np.uint64) for _ in drawn]
        stacks += zip(drawn, self.seeds, strict=True)
        own = chain.totals if isinstance(chain, Supervised) else []
        self.totals = [np.zeros((count, total.size)) for total in own]
        stacks += zip(own, self.totals, strict=True)
        shared = [chain.index, chain.first_step]
        if model.optimizer is not None:
            stacks.append((model.optimizer.buffer, ensemble._kept))
            shared += model.optimizer.shared_arrays()
        pointed = [(call, 1) for feeds in chain.feeds.values() for f in feeds for call in f.calls]
        if not isinstance(chain, Supervised):
            pointed += chain.outputs[0]
        self.replicas = Replicas(program, 0, len(program), stacks, shared, pointed)

    def feed(self, data: Data, index: np.ndarray) -> None:
        """Take the samples ``index`` of every model; the data must live until the run is over."""
        np.copyto(self.chain.index, index)
        for name, sources in (("x", data.x), ("y", data.y), ("weight", data.weight)):
            for feed, source in zip(self.chain.feeds.get(name, []), sources or (), strict=False):
                stack = source.swapaxes(0, 1)
                shaped = stack.reshape(*stack.shape[:2], -1, feed.depth)
                assert np.may_share_memory(shaped, source)
                for call in feed.calls:
                    self.replicas.point(call, 1, shaped)
        for seeds in self.seeds:
            seeds[:, 0] = rng().integers(0, 2**63, len(seeds))

    def run(self) -> np.ndarray:
        """Run every model; their losses, NaN where a gradient was not finite."""
        finished = self.replicas.run()
        losses = self.totals[0][:, 0].copy()
        losses[(finished == 0) & np.isfinite(losses)] = np.nan
        for metric, totals in zip(self.ensemble.metrics, self.totals[1:], strict=True):
            whole = finished != 0
            metric.add(totals[whole].sum(axis=0))
        return losses

    def predict(self) -> np.ndarray:
        """Outputs (models, samples, ...)."""
        y = self.chain.y
        steps, batch = y.shape[:2] if y.ndim == 3 else (1, y.shape[0])
        out = np.empty((self.ensemble.count, batch, steps, y.shape[-1]), y.dtype)
        for call, argument in self.chain.outputs[0]:
            self.replicas.point(call, argument, out.reshape(len(out), -1, out.shape[-1]))
        self.replicas.run()
        return out if y.ndim == 3 else out[:, :, 0]


def copy_of(model: Any) -> Any:
    """A model of the same layers and settings, with weights of its own."""
    if isinstance(model, Sequential):
        layers = [type(layer).from_config(layer.get_config()) for layer in model.layers]
        made: Model = Sequential([Input(model.input_shape[1:]), *layers], name=model.name)
        if not model.trainable:
            made.trainable = False
        made.build()
    else:
        made = clone_model(model)
    if model.optimizer is not None:
        optimizer = model.optimizer.copy()
        (goal,) = model.goals
        plain, weighted = (
            [get_metric(serialize(metric)) for metric in group]
            for group in (goal.plain, goal.weighted)
        )
        made.compile(optimizer, goal.loss, None, plain, weighted)
    return made


def _refuse_functions(metrics: Iterable[Metric]) -> None:
    for metric in metrics:
        if metric.runs_python:
            raise ValueError(
                f"an Ensemble cannot have the metric {metric.name!r}, a function of Python: its "
                "models' outputs are never outside of their threads. Use a metric of "
                "fastlstm.metrics, or compute it from predict()"
            )
