"""The table that ``model.summary()`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastlstm.layers.graph import calls_between
from fastlstm.layers.input import InputLayer
from fastlstm.layers.symbol import Call

if TYPE_CHECKING:
    from fastlstm.models.network import Network

Row = tuple[str, ...]


def summary_lines(model: Network) -> list[str]:
    """Lines of the table: name and kind, output shape, number of weights, what a layer takes."""
    if model.connected:
        rows = [("Layer (type)", "Output shape", "Param #", "Connected to"), *_connected(model)]
    else:
        rows = [("Layer (type)", "Output shape", "Param #"), *_in_line(model)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0 if len(widths) > 3 else widths[-1]
    lines = [
        "  ".join(
            f"{cell:>{width}}" if place == 2 else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "-" * max(map(len, lines))
    lines = [f'Model: "{model.name}"', rule, lines[0], rule, *lines[1:], rule]
    if model.built:
        layers = model.all_layers
        total = sum(layer.weight_count for layer in layers)
        size = total * layers[0].dtype.itemsize / 1024
        lines.append(f"Total params: {total:,} ({size:,.1f} KiB)")
        trained = sum(weight.size for weight in model.trainable_weights)
        lines.append(f"Trainable params: {trained:,}")
        lines.append(f"Non-trainable params: {total - trained:,}")
    return lines


def _in_line(model: Network) -> list[Row]:
    rows: list[Row] = []
    shape = model.input_shape if model.built else None
    for layer in model.layers:
        shown, count = "?", "not built"
        if shape is not None:
            (shape, *_) = layer.shapes_after([shape])
            shown, count = str(shape), f"{layer.weight_count:,}"
        rows.append((f"{layer.name} ({type(layer).__name__})", shown, count))
    return rows


def _connected(model: Network) -> list[Row]:
    """The layers of a graph, with what their inputs come from; each call, weights once."""
    calls: dict[Any, list[Call]] = {}
    for call in sorted(calls_between(*model.symbols), key=lambda call: call.serial):
        calls.setdefault(call.layer, []).append(call)
    rows: list[Row] = []
    for layer in model.layers:
        name = f"{layer.name} ({type(layer).__name__})"
        if isinstance(layer, InputLayer):
            rows.append((name, str(layer.batch_shape), "0", "-"))
            continue
        for number, call in enumerate(calls[layer]):
            count = 0 if number else layer.count_params()
            shapes = ", ".join(str(symbol.shape) for symbol in call.outputs)
            sources = ", ".join(symbol.name for symbol in call.inputs)
            rows.append((name, shapes, f"{count:,}", sources))
    return rows


def diagram(model: Network, shapes: bool) -> list[tuple[str, str, list[int]]]:
    """For each input and call: what it is, its name or its shapes, and what it takes."""
    if not model.connected:
        shape = model.input_shape
        rows: list[tuple[str, str, list[int]]] = [
            ("InputLayer", str(shape) if shapes else model.input_names[0], [])
        ]
        for layer in model.layers:
            (shape, *_) = layer.shapes_after([shape])
            text = str(shape) if shapes else layer.name
            rows.append((type(layer).__name__, text, [len(rows) - 1]))
        return rows
    inputs, outputs = model.symbols
    places = {symbol: number for number, symbol in enumerate(inputs)}
    rows = [("InputLayer", str(s.shape) if shapes else s.name, []) for s in inputs]
    calls = calls_between(inputs, outputs)
    for call in sorted(calls, key=lambda call: call.serial):
        places.update(dict.fromkeys(call.outputs, len(rows)))
        made = ", ".join(str(symbol.shape) for symbol in call.outputs)
        sources = sorted({places[symbol] for symbol in call.inputs})
        rows.append((type(call.layer).__name__, made if shapes else call.layer.name, sources))
    return rows
