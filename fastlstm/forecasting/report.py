"""A page about a fitted forecaster: what it forecasts, how good it was, and its settings."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: right;
font-variant-numeric: tabular-nums; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; }
img { max-width: 100%; } .note { color: #666; }
@media print { body { max-width: none; margin: 0; font-size: 11px; } h2 { break-after: avoid; }
               img, table, tr { break-inside: avoid; } }
"""


def write_report(
    path: str | os.PathLike[str], title: str, parts: Sequence[tuple[str, Any]]
) -> None:
    """Write a page of HTML that needs no other file.

    Parameters
    ----------
    path : str or path
        Where to.
    title : str
        Above all.
    parts : sequence of (str, Any)
        Headings and what stands under them: text; a list of dicts with the same keys, for a
        table; or a matplotlib Figure.
    """
    body = [f"<h1>{html.escape(title)}</h1>"]
    for heading, what in parts:
        body.append(f"<h2>{html.escape(heading)}</h2>")
        if isinstance(what, str):
            body.append(f"<p>{html.escape(what)}</p>")
        elif isinstance(what, list):
            body.append(_table(what))
        else:
            body.append(_picture(what, heading))
    body.append('<p class="note">Made by fastlstm.</p>')
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{_STYLE}</style></head><body>{''.join(body)}</body></html>"
    )
    Path(path).write_text(page, encoding="utf-8")


def _table(rows: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
    lines = [
        "<tr>" + "".join(f"<td>{html.escape(_shown(value))}</td>" for value in row.values())
        + "</tr>"
        for row in rows
    ]  # fmt: skip
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _shown(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _picture(figure: Any, heading: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(heading)}" src="data:image/png;base64,{data}">'
