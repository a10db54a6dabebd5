"""ONNX Runtime: inference with a graph written by hand, as an exporter would write it."""

from __future__ import annotations

from collections.abc import Callable
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
    session, x = _session(row, carried=False), _time_major(work.inputs(row))
    feed = {"x": x}

    def run() -> np.ndarray:
        return session.run(["y"], feed)[0]

    return run, lambda y: y.swapaxes(0, 1) if row.every_step else y


def step(row: Row) -> Runner:
    session, x = _session(row, carried=True), _time_major(work.inputs(row))
    names = [f"{state}{index}" for index in range(len(row.units)) for state in "hc"]
    outputs = ["y", *(f"{name}_next" for name in names)]
    shapes = [(1, row.batch, units) for units in row.units for _ in "hc"]
    feed = {"x": x, **{name: np.zeros(s, "f4") for name, s in zip(names, shapes, strict=True)}}

    def run() -> np.ndarray:
        y, *states = session.run(outputs, feed)
        feed.update(zip(names, states, strict=True))
        return y

    return run, np.asarray


def _time_major(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.swapaxes(0, 1))


def _session(row: Row, carried: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads
    options.inter_op_num_threads = 1
    model = _Graph(row, carried).model()
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class _Graph:
    """Nodes and weights of a row; x is (T, B, D) or (T, B)."""

    def __init__(self, row: Row, carried: bool) -> None:
        self.row = row
        self.carried = carried
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        kind = TensorProto.INT32 if row.vocabulary else TensorProto.FLOAT
        shape = (row.steps, row.batch) if row.vocabulary else (row.steps, row.batch, row.features)
        self.inputs = [helper.make_tensor_value_info("x", kind, shape)]
        self.outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]

    def model(self) -> Any:
        weights = work.weights(self.row)
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
