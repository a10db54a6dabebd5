"""Tables of each library that is installed, from columns and back."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

LIBRARIES = [
    pytest.param(
        name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")
    )
    for name in ("pandas", "polars", "pyarrow")
]


def table(library, columns):
    """A table of this library."""
    if library == "pandas":
        import pandas as pd

        return pd.DataFrame(columns)
    if library == "polars":
        import polars as pl

        return pl.DataFrame(columns)
    import pyarrow as pa

    return pa.table(columns)


def listed(native):
    """Columns of any table, as lists of Python's objects."""
    if hasattr(native, "to_pydict"):
        return native.to_pydict()
    if hasattr(native, "to_dict") and hasattr(native, "get_columns"):
        return native.to_dict(as_series=False)
    return {name: native[name].tolist() for name in native.columns}


def types(native):
    """Names of the types of the columns."""
    if hasattr(native, "to_pydict"):
        return {field.name: str(field.type) for field in native.schema}
    if hasattr(native, "get_columns"):
        return {name: str(dtype) for name, dtype in native.schema.items()}
    return {name: str(dtype) for name, dtype in native.dtypes.items()}
