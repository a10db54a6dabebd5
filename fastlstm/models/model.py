"""A graph of layers that is trained, tested and used, with Keras' methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastlstm.layers.graph import Graph, calls_between, in_keras_order
from fastlstm.layers.input import input_layer
from fastlstm.layers.runner import Arrays
from fastlstm.layers.symbol import Shape, Symbol, symbols
from fastlstm.models import cloning, saving, structure
from fastlstm.models.memory import MemoryReport, memory_report
from fastlstm.models.options import check_options
from fastlstm.models.trainer import Trainer


class Model(Trainer):
    """Everything between inputs and outputs, with Keras' methods to train, test and use it.

    Layers are called on symbols, beginning with ``Input``; the model is what lies between the
    symbols that are named here. A layer that is called twice has one set of weights; several
    models may have layers in common, as an encoder of its own and the whole that it was trained
    in; and a model can be called like a layer.

    Parameters
    ----------
    inputs, outputs : Symbol, or list or dict of Symbol
        Where it begins and ends. Arrays for several are given as a list, or as a dict by name:
        the inputs' names, and those of the layers that make the outputs; or the names in the dicts
        that are given here. What comes out of a model whose outputs are a dict is a dict too.
    name : str, optional
        Name in summaries and files.
    trainable : bool
        Whether training changes the weights; an attribute too, that may be set at any time.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlstm import Input
    >>> from fastlstm.layers import LSTM, Concatenate, Dense
    >>> series, facts = Input((None, 3)), Input((5,))
    >>> both = Concatenate()([LSTM(8)(series), facts])
    >>> model = Model([series, facts], Dense(1)(both))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> model.predict([np.zeros((4, 10, 3)), np.zeros((4, 5))], verbose=0).shape
    (4, 1)
    """

    def __init_subclass__(cls, **options: Any) -> None:
        for name in ("call", "train_step", "test_step", "predict_step", "compute_loss"):
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__} defines {name}(), which runs Python for each batch; here a "
                    "model is a graph: call layers on Input(...) and make a Model(inputs, "
                    "outputs). vjp(model, x) gives gradients for a loop or a loss of your own"
                )
        super().__init_subclass__(**options)

    # Whether it is a graph of its own rather than layers one after the other.
    connected = True

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, *, trainable: bool = True
    ) -> None:
        self._input_keys, inputs = _keys(inputs, "Model inputs")
        self._output_keys, outputs = _keys(outputs, "Model outputs")
        starts, ends = symbols(inputs, "Model inputs"), symbols(outputs, "Model outputs")
        graph = Graph.between(starts, ends)
        super().__init__(name or "model", graph)
        self._start_untrained()
        self._symbols = starts, ends
        self.layers = in_keras_order({start: input_layer(start) for start in starts}, ends)
        self.input_names = self._input_keys or _apart([symbol.name for symbol in starts])
        self.output_names = self._output_keys or _apart([symbol.name for symbol in ends])
        self._check_layers()
        self._join()
        if not any(layer._owner for layer in self.all_layers):
            self._gather()
        if not trainable:
            self.trainable = False

    # Names of the inputs and outputs, where they were given as dicts.
    _input_keys: list[str] | None = None
    _output_keys: list[str] | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.connected:
            for call in sorted(calls_between(*self.symbols), key=lambda call: call.serial):
                call.note()

    def _check_layers(self) -> None:
        names = [entry.name for entry in self.entries]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"a layer is named {name!r} already; names in a model must differ")
        first, *others = self.all_layers
        for layer in others:
            if layer.dtype != first.dtype:
                raise ValueError(
                    f"layer {layer.name!r} computes in {layer.dtype}, the others in "
                    f"{first.dtype}; one model has one precision"
                )

    @property
    def symbols(self) -> tuple[list[Symbol], list[Symbol]]:
        """What it begins and ends with."""
        return self._symbols

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols that it begins with, from which other models may begin as well."""
        return self.symbols[0]

    @property
    def outputs(self) -> list[Symbol]:
        """The symbols that it ends with; see ``Layer.output`` for those on the way."""
        return self.symbols[1]

    @property
    def input(self) -> Any:
        """The symbol that it begins with; of several, the list or dict that they were given as."""
        return _as_given(self.inputs, self._input_keys)

    @property
    def output(self) -> Any:
        """The symbol that it ends with; of several, the list or dict that they were given as."""
        return _as_given(self.outputs, self._output_keys)

    @property
    def input_shapes(self) -> list[Shape]:
        return [symbol.shape for symbol in self.inputs]

    def shapes_after(self, shapes: Sequence[Shape]) -> list[Shape]:
        for name, wanted, given in zip(self.input_names, self.input_shapes, shapes, strict=True):
            pairs = zip(wanted, given, strict=False)
            if len(wanted) != len(given) or any(a != b and a and b for a, b in pairs):
                raise ValueError(
                    f"model {self.name!r} expects shape {wanted} for {name!r}, got {given}"
                )
        return self.output_shapes_of(shapes)

    def _hand_out(self, outputs: Any) -> Any:
        if self._output_keys is None:
            return outputs
        several = len(self._output_keys) > 1
        return dict(zip(self._output_keys, outputs if several else [outputs], strict=True))

    def _check_shapes(self, samples: Arrays) -> None:
        for name, wanted, array in zip(self._shown_names, self.input_shapes, samples, strict=True):
            sizes = zip(wanted, array.shape, strict=False)
            if len(wanted) != array.ndim or any(a not in (None, b) for a, b in sizes):
                shown = str(wanted).replace("(None", "(batch", 1)
                raise ValueError(f"{name} expects shape {shown}, got {array.shape}")
        counts = {len(array) for array in samples}
        if len(counts) > 1:
            lengths = dict(zip(self.input_names, map(len, samples), strict=True))
            raise ValueError(f"the inputs must have as many samples each, got {lengths}")

    # -- files ---------------------------------------------------------------------------------

    def save(self, filepath: Any, overwrite: bool = True, **rest: Any) -> None:
        """Write the model, its weights and the optimizer's state to one file.

        The file is in the safetensors format, whatever its name; an interrupted save leaves the
        old file as it was.
        """
        check_options("save", rest, Model.save)
        self._need_weights()
        saving.save_model(self, filepath, overwrite=overwrite)

    def get_config(self) -> dict[str, Any]:
        """Names, shapes, layers and calls, as plain values."""
        return structure.graph_config(self)

    def to_json(self, **options: Any) -> str:
        """What the model is made of, without its weights, as text for ``model_from_json``.

        ``options`` are those of ``json.dumps``.
        """
        return cloning.to_json(self, **options)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new model of the layers that ``get_config`` described, with weights of its own."""
        return structure.from_config(config)

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


def _keys(entries: Any, what: str) -> tuple[list[str] | None, Any]:
    """The names in a dict, sorted as Keras has them, and what they stand for in this order."""
    if not isinstance(entries, dict):
        return None, entries
    if not entries or not all(isinstance(name, str) for name in entries):
        raise TypeError(f"{what} expects a dict of symbols by their names, got {entries!r}")
    names = sorted(entries)
    return names, [entries[name] for name in names]


def _as_given(ends: list[Symbol], names: list[str] | None) -> Any:
    if names is not None:
        return dict(zip(names, ends, strict=True))
    return ends if len(ends) > 1 else ends[0]


def _apart(names: list[str]) -> list[str]:
    """The names, with numbers where they would be the same."""
    return [
        name if name not in names[:place] else f"{name}_{names[:place].count(name)}"
        for place, name in enumerate(names)
    ]
