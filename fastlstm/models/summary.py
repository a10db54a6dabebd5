"""The table that ``model.summary()`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastlstm.models.sequential import Sequential


def summary_lines(model: Sequential) -> list[str]:
    """Lines of the table: name and kind, output shape, number of weights."""
    rows = [("Layer (type)", "Output shape", "Param #")]
    shape = model.input_shape if model.built else None
    for layer in model.layers:
        shown, count = "?", "not built"
        if shape is not None:
            shape = (None, *layer.compute_output_shape(tuple(shape[1:])))
            shown, count = str(shape), f"{layer.weight_count:,}"
        rows.append((f"{layer.name} ({type(layer).__name__})", shown, count))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"{name:<{widths[0]}}  {out:<{widths[1]}}  {count:>{widths[2]}}"
        for name, out, count in rows
    ]
    rule = "-" * len(lines[0])
    lines = [f'Model: "{model.name}"', rule, lines[0], rule, *lines[1:], rule]
    if model.built:
        total = sum(layer.weight_count for layer in model.layers)
        size = total * model.layers[0].dtype.itemsize / 1024
        lines.append(f"Total params: {total:,} ({size:,.1f} KiB)")
        trained = sum(weight.size for weight in model.trainable_weights)
        lines.append(f"Trainable params: {trained:,}")
        lines.append(f"Non-trainable params: {total - trained:,}")
    return lines
