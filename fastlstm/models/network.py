"""Layers put together: their weights in one place, calls on arrays and on symbols, files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from fastlstm.data.lengths import mask_of
from fastlstm.layers.base import Layer, refuse_arrays
from fastlstm.layers.chain import Chain, has_time
from fastlstm.layers.freezing import Freezable
from fastlstm.layers.graph import Graph
from fastlstm.layers.input import InputLayer
from fastlstm.layers.runner import Arrays, Runner, as_mask
from fastlstm.layers.symbol import Call, Shape, Symbol, is_symbolic, symbols
from fastlstm.memory import aligned, check_room
from fastlstm.models import saving
from fastlstm.models.freezing import FreezableModel
from fastlstm.models.named import by_name
from fastlstm.models.options import check_options
from fastlstm.models.stream import Stream, stream_of
from fastlstm.models.summary import diagram, summary_lines


class Network(FreezableModel, ABC):
    """A graph of layers with its weights; what ``Model`` and ``Sequential`` have in common.

    Attributes
    ----------
    name : str
        Name in summaries and files.
    layers : list of Layer or Model
        What it is made of, in the order of the weights; of a graph its inputs as well.
    input_names, output_names : list of str
        Names of the arrays that go in and come out.
    """

    connected: ClassVar[bool]  # rather than layers one after the other
    layers: list[Any]
    input_names: list[str]
    output_names: list[str]

    def __init__(self, name: str, graph: Graph) -> None:
        self.name = name
        self.is_part = False  # of another model, whose graph holds this one's
        self.holder: Layer | None = None  # whose weights those of this model are
        self._runner = Runner(graph)
        self._params = np.empty(0, np.float32)
        self._grads = self._params
        self._owns = False  # whether the layers' weights are in these buffers
        self._familiar: tuple[Any, ...] = ()  # samples' shape and dtype that need no more checks
        self._familiar_outputs: list[tuple[int, ...]] = []

    # -- layers and weights -------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """All layers, and what they take from one another."""
        return self._runner.graph

    @property
    def entries(self) -> list[Any]:
        """What of ``layers`` computes: all but the inputs."""
        return [entry for entry in self.layers if not isinstance(entry, InputLayer)]

    @property
    def all_layers(self) -> list[Layer]:
        """All layers in the order of the weights, those of models inside among them."""
        found: dict[Layer, None] = {}
        for entry in self.entries:
            found.update(dict.fromkeys(entry.all_layers if is_model(entry) else [entry]))
        return list(found)

    @property
    def _inside(self) -> list[Layer]:
        return self.all_layers

    @property
    def _parts(self) -> Sequence[Freezable]:
        return self.layers

    @property
    def trained(self) -> list[bool]:
        """Which of the weights training changes: those of a frozen model inside wait for it."""
        found = self._trained_of()
        return [trained for layer in self.all_layers for trained in found[layer]]

    def _trained_of(self) -> dict[Layer, list[bool]]:
        """For each layer, which of its weights training changes."""
        found: dict[Layer, list[bool]] = {}
        for entry in self.entries:
            parts = entry._trained_of() if is_model(entry) else {entry: entry.trained}
            for layer, flags in parts.items():
                # What is reached in several ways is trained where one of them lets it be.
                others = found.get(layer, [False] * len(flags))
                pairs = zip(others, flags, strict=True)
                found[layer] = [other or (flag and self.trainable) for other, flag in pairs]
        return found

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return bool(self.layers) and all(layer.built for layer in self.all_layers)

    def _gather(self) -> None:
        """Bring all weights into one flat buffer, which optimizers work on."""
        self._join()
        layers = self.all_layers
        sizes = [layer.weight_count for layer in layers]
        dtype = layers[0].dtype
        needed = 2 * sum(sizes) * dtype.itemsize
        check_room(needed, "weights and their gradients", "make the layers smaller")
        params = aligned((sum(sizes),), dtype)
        grads = aligned(params.shape, dtype, np.zeros)
        at = 0
        for layer, size in zip(layers, sizes, strict=True):
            layer.adopt(self, params[at : at + size], grads[at : at + size])
            at += size
        self._params, self._grads = params, grads
        self._owns = True
        self._familiar = ()
        self._runner.forget()

    def let_go(self) -> None:
        """Another model has taken layers of this one into its buffers: lay out anew."""
        self._owns = False
        self._runner.forget()

    def held_by(self, layer: Layer) -> None:
        """Have no weights but those of a layer that is made of this model, under its lock."""
        self.holder, self.is_part = layer, True
        self.let_go()
        self.use_lock(layer.runner.lock)

    def _join(self) -> None:
        """Become one of the models that have these layers: one of them computes at a time."""
        for layer in self.all_layers:
            layer.check_free(self)
            layer.users.add(self)
        users = {id(user): user for layer in self.all_layers for user in layer.users}
        others = [user for user in users.values() if user is not self]
        if others:
            self._runner.lock = others[0].lock
        for other in others[1:]:
            other.use_lock(self.lock)

    def use_lock(self, lock: Any) -> None:
        """Compute under this lock from now on."""
        self._runner.lock = lock
        for layer in self.all_layers:
            layer.forget()

    def __getstate__(self) -> dict[str, Any]:
        nothing = self._params[:0]
        return {
            **self.__dict__,
            "_params": nothing,
            "_grads": nothing,
            "_owns": False,
            "_followed": -1,
            "holder": None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.built:  # the layers' weights are arrays of their own now
            self._gather()

    @property
    def flat_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """All weights, and their gradients, each in one flat array."""
        if self.holder is not None:
            raise ValueError(
                f"model {self.name!r} is part of layer {self.holder.name!r}, which has its weights "
                "and is trained for both: train the model that has the layer; or train this one "
                "before, or a copy.deepcopy() of it"
            )
        if not self._owns and self.built:
            self._gather()
        return self._params, self._grads

    @property
    def lock(self) -> Any:
        """Held while anything is computed with the weights or gradients."""
        return self._runner.lock

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer of this name, or at this index."""
        if index is not None:
            return self.layers[index]
        # An input may have the name of a layer.
        for layer in (*self.entries, *self.layers):
            if layer.name == name:
                return layer
        raise ValueError(
            f"no layer is named {name!r}; the layers are {[layer.name for layer in self.layers]}"
        )

    @property
    def weight_names(self) -> list[str]:
        """Names of all weights, such as "lstm/kernel", in the order of ``get_weights``."""
        return list(self._named_weights())

    def _named_weights(self) -> dict[str, tuple[Layer, int]]:
        """For each weight its layer, and its place among the layer's."""
        found: dict[str, tuple[Layer, int]] = {}
        seen: set[Layer] = set()
        for entry in self.entries:
            parts = entry._named_weights() if is_model(entry) else _weights_of(entry)
            for name, place in parts.items():
                if place[0] not in seen:
                    found[f"{entry.name}/{name}"] = place
            seen.update(entry.all_layers if is_model(entry) else [entry])
        return found

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights, layer by layer, in Keras' order and shapes."""
        self._need_weights()
        return [weight for layer in self.all_layers for weight in layer.get_weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights; nothing changes unless all of them fit."""
        self._need_weights()
        layers = self.all_layers
        counts = [len(layer.weight_names) for layer in layers]
        if len(weights) != sum(counts):
            raise ValueError(f"the model has {sum(counts)} weights, got {len(weights)}")
        rest, parts = list(weights), []
        for layer, count in zip(layers, counts, strict=True):
            parts.append(layer.check_weights(rest[:count]))
            del rest[:count]
        with self.lock:
            for layer, part in zip(layers, parts, strict=True):
                layer.set_weights(part)

    def count_params(self) -> int:
        """Numbers in all weights together."""
        self._need_weights()
        return self.weight_count

    @property
    def weight_count(self) -> int:
        """The same, as layers name it."""
        return sum(layer.weight_count for layer in self.all_layers)

    def _need_weights(self) -> None:
        if not self.built:
            raise ValueError(
                "the model has no weights yet: build it with build((None, time, features)), give "
                "the first layer an input_shape, or call it on data"
            )

    @property
    def stateful(self) -> bool:
        """Whether any layer carries states from batch to batch."""
        return any(getattr(layer, "stateful", False) for layer in self.all_layers)

    def reset_states(self) -> None:
        """Forget the carried states of all layers."""
        for layer in self.all_layers:
            if hasattr(layer, "reset_states"):
                layer.reset_states()

    # -- shapes -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def symbols(self) -> tuple[list[Symbol], list[Symbol]]:
        """What it begins and ends with."""

    @property
    @abstractmethod
    def input_shapes(self) -> list[Shape]:
        """Shapes of all inputs, None for the batch."""

    def output_shapes_of(self, input_shapes: Sequence[Shape]) -> list[Shape]:
        """Shapes of the outputs for inputs of these, where they fit."""
        return self.graph.shapes_for(input_shapes)

    def shapes_after(self, shapes: Sequence[Shape]) -> list[Shape]:
        """The same, for the model as a part of another one; an error where they do not fit."""
        return self.output_shapes_of(shapes)

    @property
    def input_shape(self) -> Any:
        """Shape of the input, None for the batch; a list for several."""
        return _one_or_all(self.input_shapes)

    @property
    def output_shape(self) -> Any:
        """Shape of the output, None for the batch; a list for several."""
        return _one_or_all(self.output_shapes_of(self.input_shapes))

    # -- calls --------------------------------------------------------------------------------

    def build(self, input_shape: Any = None) -> None:
        """Create the weights, where that was not done yet."""

    def _build_for(self, samples: Arrays) -> None:
        """Create the weights for samples like these, where that was not done yet."""

    def prepare_inputs(self, x: Any) -> Arrays:
        """Validated, contiguous samples; builds the model where that was not done."""
        samples, outputs = self._check_inputs(x)
        self._make_familiar(samples, outputs)
        return samples

    def _check_inputs(self, x: Any) -> tuple[Arrays, list[tuple[int, ...]]]:
        """Validated, contiguous samples, and the shapes of the outputs; builds nothing."""
        if type(x) is np.ndarray and (x.shape[1:], x.dtype) == self._familiar and x.size:
            samples = self._runner.prepare_checked(x)
            return samples, [(len(x), *shape) for shape in self._familiar_outputs]
        if not self.layers:
            raise ValueError("this model has no layers; add some first")
        samples = self._runner.prepare_inputs(by_name(x, self.input_names, "x"), self._shown_names)
        self._check_shapes(samples)
        # Every layer has its say before anything is built.
        outputs = self.output_shapes_of([array.shape for array in samples])
        return samples, [tuple(int(size or 0) for size in shape) for shape in outputs]

    @property
    def _shown_names(self) -> list[str]:
        """What errors call the inputs."""
        if len(self.graph.inputs) == 1:
            return ["x"]
        return [f"x[{name!r}]" for name in self.input_names]

    def _check_shapes(self, samples: Arrays) -> None:
        """An error unless samples fit the inputs' shapes, beyond what the layers say."""

    def _make_familiar(self, samples: Arrays, outputs: list[tuple[int, ...]]) -> None:
        """Build for samples like these; their like needs fewer checks from now on."""
        self._build_for(samples)
        if len(samples) == 1 and not self.graph.takes_ids[0]:
            self._familiar = samples[0].shape[1:], samples[0].dtype
            self._familiar_outputs = [shape[1:] for shape in outputs]

    def __call__(self, x: Any, *, mask: Any = None, training: bool = False) -> Any:
        """Output for a batch of arrays; or for symbols, as a part of another model.

        Parameters
        ----------
        x : array_like, Symbol, or a list or dict of them
            Batch first.
        mask : array_like, optional
            (batch, time) of booleans for the layers that take the first input.
        training : bool
            Whether dropout is active.
        """
        if is_symbolic(x):
            refuse_arrays(mask=mask, training=training or None)
            return self._call_symbols(x)
        call = self._runner.call
        return self._hand_out(call(x, mask=mask, training=training, prepare=self.prepare_inputs))

    def _call_symbols(self, x: Any) -> Any:
        inputs = symbols(by_name(x, self.input_names, f"model {self.name!r}"), self.name)
        self.build(inputs[0].shape)
        self.is_part = True
        return self._hand_out(
            Call(self, inputs, self.shapes_after([s.shape for s in inputs])).result
        )

    def _hand_out(self, outputs: Any) -> Any:
        """What the caller gets for the one output, or the list of all."""
        return outputs

    def batch_shapes(self, x: Arrays, batch: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of so many samples of x, time first."""
        return self._runner.shapes(x, batch)

    @property
    def samples_first(self) -> bool:
        """Whether what it is given is one array, or a list of samples, rather than several."""
        return len(self.graph.inputs) == len(self.graph.outputs) == 1

    def prepare_mask(self, mask: Any, samples: Arrays) -> np.ndarray:
        """A validated mask, (N, T), of validated samples."""
        first = samples[0]
        if not has_time(first.ndim, self.graph.takes_ids[0]):
            raise ValueError(
                f"mask says which steps of sequences count, but x has shape {first.shape} and so "
                "no steps"
            )
        return as_mask(mask, first.shape[:2]).astype(np.uint8)

    def predict_step(
        self, x: Arrays, index: np.ndarray, mask: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Outputs for the samples ``index`` of x, which ``prepare_inputs`` returned."""
        with self.lock:
            masked = {} if mask is None else {"masked": True}
            chain = self._runner.chain(self.batch_shapes(x, index.size), Chain, **masked)
            if mask is not None:
                np.copyto(chain.mask, mask[index].T)
            chain.feed(index, x=x)
            outputs = chain.predict()
            chain.commit()
            return outputs

    def mask_for(self, x: Any, mask: Any, lengths: Any) -> Any:
        """The mask that was given, or that of samples whose first input has so many steps."""
        if lengths is not None and len(self.graph.inputs) > 1:
            x = by_name(x, self.input_names, "x")[0]
        return mask_of(mask, lengths, x)

    def predict_on_batch(self, x: Any, *, mask: Any = None, lengths: Any = None) -> Any:
        """Output for one batch, (batch, ...), all of it at once.

        ``mask`` or ``lengths`` say which steps count, as in ``predict``.
        """
        return self(x, mask=self.mask_for(x, mask, lengths))

    def stream(self, batch: int = 1) -> Stream:
        """Run sequences step by step, as values arrive.

        Parameters
        ----------
        batch : int
            Number of sequences side by side.

        Returns
        -------
        Stream
            Its ``step(x)`` takes the next input of each row, or a list of several inputs; see
            ``fastlstm.models.stream``. Where the model has several outputs, it gives a list.
            Where layers take their ``initial_state`` from the graph, the inputs that it is made of
            are given once, by ``reset(start=...)``.
        """
        self._need_weights()
        self.build()
        return stream_of(self, batch)

    # -- files and text -----------------------------------------------------------------------

    def save_weights(self, filepath: Any, overwrite: bool = True, **rest: Any) -> None:
        """Write the weights alone."""
        check_options("save_weights", rest, Network.save_weights)
        self._need_weights()
        saving.save_weights(self, filepath, overwrite=overwrite)

    def load_weights(self, filepath: Any, **rest: Any) -> None:
        """Read weights that ``save_weights`` or ``save`` wrote for the same layers."""
        check_options("load_weights", rest, Network.load_weights)
        self._need_weights()
        saving.load_weights(self, filepath)

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        **rest: Any,
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of weights.

        ``print_fn`` is called with each line in the place of ``print``; the table is as wide as it
        needs to be, whatever ``line_length`` and ``positions`` say.
        """
        check_options("summary", rest, Network.summary)
        print_fn = print_fn or print
        for line in summary_lines(self):
            print_fn(line)

    def diagram(self, shapes: bool = False) -> list[tuple[str, str, list[int]]]:
        """What ``utils.plot_model`` draws: kind, name or shapes, and sources of each call."""
        self._need_weights()
        return diagram(self, shapes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name!r}, {len(self.layers)} layers>"


def is_model(entry: Any) -> bool:
    """Whether an entry of ``layers`` is a model."""
    return isinstance(entry, Network)


def _weights_of(layer: Layer) -> dict[str, tuple[Layer, int]]:
    return {name: (layer, place) for place, name in enumerate(layer.weight_names)}


def _one_or_all(shapes: list[Shape]) -> Any:
    return shapes if len(shapes) > 1 else shapes[0]
