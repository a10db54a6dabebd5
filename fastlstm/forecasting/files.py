"""Tables in files: read by whichever data frame library is installed, columns guessed."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import narwhals as nw
from tqdm import tqdm

# From the fastest to read on; one is enough.
_READERS = ("polars", "pandas", "pyarrow")
# Bytes from which on reading shows how far it is.
_LARGE = 20_000_000
_IDS = ("unique_id", "id", "item_id", "series_id", "series", "item", "store", "sensor", "zone")
_TIMES = ("ds", "date", "datetime", "timestamp", "time", "day", "month", "hour", "t", "step")
_TARGETS = ("y", "target", "value", "values", "sales", "demand", "load", "price", "count")


def read_table(path: str | Path, *, verbose: int = 1) -> Any:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    path : str or Path
        Ends in .csv, .csv.gz, .tsv, .txt, .parquet or .pq.
    verbose : int
        1 to show on stderr how far the reading of a large file is.

    Returns
    -------
    data frame
        Of polars, pandas or PyArrow, whichever is installed.

    Raises
    ------
    ValueError
        For another kind of file, or one that cannot be read as such.
    ImportError
        If none of the three is installed.
    FileNotFoundError
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else "".join(suffixes[-1:])
    if kind not in (".csv", ".tsv", ".txt", ".parquet", ".pq"):
        raise ValueError(
            f"expected a file that ends in .csv, .csv.gz, .tsv or .parquet, got {str(path)!r}"
        )
    size = path.stat().st_size
    with (
        path.open("rb") as file,
        tqdm.wrapattr(
            file, "read", total=size, desc=f"reading {path.name}",
            disable=not verbose or size < _LARGE,
        ) as counted,
    ):  # fmt: skip
        try:
            return _read(counted if path.suffix != ".gz" else str(path), kind)
        except (ImportError, OSError):
            raise
        except Exception as error:
            raise ValueError(f"{path} cannot be read as {kind[1:]}: {error}") from error


def _read(source: Any, kind: str) -> Any:
    library = _installed()
    parquet = kind in (".parquet", ".pq")
    separator = "\t" if kind == ".tsv" else ","
    if library.__name__ == "polars":
        if parquet:
            return library.read_parquet(source)
        return library.read_csv(source, separator=separator, try_parse_dates=True)
    if library.__name__ == "pandas":
        return library.read_parquet(source) if parquet else library.read_csv(source, sep=separator)
    if parquet:
        return importlib.import_module("pyarrow.parquet").read_table(source)
    csv = importlib.import_module("pyarrow.csv")
    return csv.read_csv(source, parse_options=csv.ParseOptions(delimiter=separator))


def _installed() -> Any:
    for name in _READERS:
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise ImportError(
        "reading tables takes polars, pandas or pyarrow, of which none is installed: "
        "pip install polars"
    )


def write_table(frame: Any, path: str | Path) -> None:
    """Write a data frame as CSV, or as Parquet where the name ends so."""
    table = nw.from_native(frame, eager_only=True)
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        table.write_parquet(path)
    else:
        table.write_csv(path)


def guess_columns(
    frame: Any, id_col: str | None, time_col: str | None, target_col: str | None
) -> tuple[dict[str, str], list[str]]:
    """Which columns are the ids, the stamps and the target, where it is not said.

    Parameters
    ----------
    frame : data frame
    id_col, time_col, target_col : str or None
        Those that are said.

    Returns
    -------
    columns : dict of str to str
        "id_col", "time_col" and "target_col".
    remarks : list of str
        What was guessed, in words.

    Raises
    ------
    ValueError
        If there is no column that may be meant, or one that is said is not there.
    """
    schema = dict(nw.from_native(frame, eager_only=True).schema)
    for name in filter(None, (id_col, time_col, target_col)):
        if name not in schema:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(schema)}")
    remarks = []
    free = [name for name in schema if name not in (id_col, time_col, target_col)]
    if time_col is None:
        dated = [name for name in free if schema[name].is_temporal()]
        time_col = _named(free, _TIMES) or next(iter(dated), None)
        if time_col is None:
            raise ValueError(
                f"which column has the stamps? Say so with --time; there are {', '.join(schema)}"
            )
        remarks.append(f"stamps: column {time_col!r}")
        free.remove(time_col) if time_col in free else None
    numeric = [name for name in free if schema[name].is_numeric()]
    if target_col is None:
        target_col = _named(numeric, _TARGETS) or (numeric[-1] if numeric else None)
        if target_col is None:
            raise ValueError(
                f"which column is to be forecast? None is numeric; there are {', '.join(schema)}"
            )
        remarks.append(f"target: column {target_col!r}")
        free.remove(target_col)
    if id_col is None:
        words = [name for name in free if not schema[name].is_numeric()]
        id_col = _named(free, _IDS) or (words[0] if len(words) == 1 else None)
        if id_col is None and len(words) > 1:
            raise ValueError(
                f"which column has the series' ids? Say so with --id; it may be {', '.join(words)}"
            )
        remarks.append(f"ids: column {id_col!r}" if id_col else "ids: none, one series")
    return {
        "id_col": id_col or "unique_id", "time_col": time_col, "target_col": target_col,
    }, remarks  # fmt: skip


def _named(names: list[str], usual: tuple[str, ...]) -> str | None:
    """The first column with one of the usual names."""
    lower = {name.lower(): name for name in names}
    return next((lower[one] for one in usual if one in lower), None)
