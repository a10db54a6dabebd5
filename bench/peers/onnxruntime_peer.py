"""ONNX Runtime: inference with a graph written by hand, as an exporter would write it.

Inputs and outputs are bound beforehand, which spares a short call half of its time. Of many
models each has a session of its own; Python threads, as many as there are to be, share them out.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench import work
from bench.shapes import Row

Runner = tuple[Callable[[], Any], Callable[[Any], np.ndarray]]

_threads = 1


def prepare(threads: int) -> str:
    global _threads
    _threads = threads
    return f"onnxruntime {onnxruntime.__version__}"


def forward(row: Row) -> Runner:
    if row.models > 1:
        return _forward_many(row)
    session, y = _session(row, work.weights(row), _threads), _output(row)
    binding = _bound(session, {"x": _time_major(work.inputs(row))}, {"y": y})

    def run() -> onnxruntime.OrtValue:
        session.run_with_iobinding(binding)
        return y

    return run, lambda y: y.numpy().swapaxes(0, 1) if row.every_step else y.numpy()


def _forward_many(row: Row) -> Runner:
    calls = []
    for model, x in enumerate(work.inputs(row)):
        session, y = _session(row, work.weights(row, model), threads=1), _output(row)
        calls.append((session, _bound(session, {"x": _time_major(x)}, {"y": y}), y))
    pool = ThreadPoolExecutor(_threads)

    def run_share(first: int) -> None:
        for session, binding, _ in calls[first::_threads]:
            session.run_with_iobinding(binding)

    def run() -> list[onnxruntime.OrtValue]:
        list(pool.map(run_share, range(_threads)))
        return [y for _, _, y in calls]

    return run, lambda all_y: np.stack([y.numpy() for y in all_y])


def step(row: Row) -> Runner:
    """States go to and fro between two sets of arrays."""
    session = _session(row, work.weights(row), _threads, carried=True)
    x, y = _time_major(work.inputs(row)), _output(row)
    sets = [
        {f"{state}{i}": _zeros(1, row.batch, u) for i, u in enumerate(row.units) for state in "hc"}
        for _ in range(2)
    ]
    bindings = cycle(
        _bound(session, {"x": x, **before}, {"y": y, **{f"{k}_next": v for k, v in after.items()}})
        for before, after in (sets, sets[::-1])
    )

    def run() -> onnxruntime.OrtValue:
        session.run_with_iobinding(next(bindings))
        return y

    return run, lambda y: y.numpy()


def _time_major(x: np.ndarray) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x.swapaxes(0, 1)))


def _output(row: Row) -> onnxruntime.OrtValue:
    steps = (row.steps,) if row.every_step else ()
    return _zeros(*steps, row.batch, row.outputs)


def _zeros(*shape: int) -> onnxruntime.OrtValue:
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))


def _bound(
    session: onnxruntime.InferenceSession,
    inputs: dict[str, onnxruntime.OrtValue],
    outputs: dict[str, onnxruntime.OrtValue],
) -> onnxruntime.IOBinding:
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in outputs.items():
        binding.bind_ortvalue_output(name, value)
    return binding


def _session(
    row: Row, weights: work.Weights, threads: int, carried: bool = False
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    model = _Graph(row, weights, carried).model()
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class _Graph:
    """Nodes and weights of a row; x is (T, B, D) or (T, B)."""

    def __init__(self, row: Row, weights: work.Weights, carried: bool) -> None:
        self.row = row
        self.weights = weights
        self.carried = carried
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        kind = TensorProto.INT32 if row.vocabulary else TensorProto.FLOAT
        shape = (row.steps, row.batch) if row.vocabulary else (row.steps, row.batch, row.features)
        self.inputs = [helper.make_tensor_value_info("x", kind, shape)]
        self.outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]

    def model(self) -> Any:
        weights = self.weights
        value = "x"
        if weights.embedding is not None:
            value = self._add("Gather", "embedded", self._constant("e", weights.embedding), value)
        for index, layer in enumerate(weights.layers):
            last = index == len(weights.layers) - 1
            value = self._lstm(index, value, layer, whole=not last or self.row.every_step)
        value = self._add("MatMul", "product", value, self._constant("dense", weights.dense[0]))
        value = self._add("Add", "logits", value, self._constant("dense_bias", weights.dense[1]))
        kind = {"softmax": "Softmax", "sigmoid": "Sigmoid", None: "Identity"}[self.row.activation]
        self._add(kind, "y", value)
        graph = helper.make_graph(
            self.nodes, self.row.name, self.inputs, self.outputs, self.constants
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def _lstm(self, index: int, value: str, layer: Any, whole: bool) -> str:
        """The layer's sequence (T, B, H), or its last step (B, H)."""
        kernel, recurrent, bias = layer
        units = self.row.units[index]
        names = [
            self._constant(f"w{index}", _gates(kernel, units)),
            self._constant(f"r{index}", _gates(recurrent, units)),
            self._constant(f"b{index}", np.append(_gates(bias, units), np.zeros_like(bias))[None]),
        ]
        states = [f"{state}{index}" for state in "hc"] if self.carried else []
        for state in states:
            shape = (1, self.row.batch, units)
            info = helper.make_tensor_value_info(state, TensorProto.FLOAT, shape)
            self.inputs.append(info)
            self.outputs.append(
                helper.make_tensor_value_info(f"{state}_next", TensorProto.FLOAT, shape)
            )
        sequence = f"sequence{index}" if whole else ""
        node = helper.make_node(
            "LSTM",
            [value, *names, "", *states],
            [sequence, f"h{index}_next", f"c{index}_next"],
            hidden_size=units,
        )
        self.nodes.append(node)
        # One direction: drop its axis.
        if whole:
            return self._add("Squeeze", f"flat{index}", sequence, self._axis(1))
        return self._add("Squeeze", f"flat{index}", f"h{index}_next", self._axis(0))

    def _add(self, kind: str, output: str, *inputs: str) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output]))
        return output

    def _constant(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _axis(self, axis: int) -> str:
        return self._constant(f"axis_{len(self.constants)}", np.array([axis], np.int64))


def _gates(array: np.ndarray, units: int) -> np.ndarray:
    """Keras' (K, 4H) in order i, f, c, o -> (1, 4H, K) in order i, o, f, c."""
    i, f, c, o = np.split(array, 4, axis=-1)
    assert i.shape[-1] == units
    joined = np.concatenate([i, o, f, c], axis=-1)
    return joined if joined.ndim == 1 else joined.T[None]
