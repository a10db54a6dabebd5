"""Tables in files: read by whichever data frame library is installed, columns guessed."""

from __future__ import annotations

import codecs
import difflib
import gzip
import importlib
import importlib.util
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
from tqdm import tqdm

from fastlstm.forecasting.columns import few_texts
from fastlstm.forecasting.dates import iso_stamps, looks_like_stamps

# From the fastest to read on; one is enough.
_READERS = ("polars", "pandas", "pyarrow")
# Bytes from which on reading shows how far it is.
_LARGE = 20_000_000
# Of a text, what is looked at to find out how it is written.
_LOOKED_AT = 100_000
_PART = 1 << 20
_SEPARATORS = (",", ";", "\t", "|")
_WITH_COMMA, _WITH_POINT = re.compile(r"[+-]?\d+,\d+"), re.compile(r"[+-]?\d+\.\d+")
_MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "#N/A")
_IDS = ("unique_id", "id", "item_id", "series_id", "series", "item", "store", "sensor", "zone")
_TIMES = ("ds", "date", "datetime", "timestamp", "time", "day", "month", "hour", "t", "step")
_TARGETS = ("y", "target", "value", "values", "sales", "demand", "load", "price", "count")


def read_table(path: str | Path, *, verbose: int = 1) -> Any:
    """Read a CSV or Parquet file.

    Of text the separator, the decimal sign and the encoding are found out.

    Parameters
    ----------
    path : str or Path
        Ends in .csv, .csv.gz, .tsv, .txt, .parquet or .pq.
    verbose : int
        1 to show on stderr how far the reading of a large file is.

    Returns
    -------
    data frame
        Of polars, pandas or PyArrow, whichever is installed. Stamps in text are still text.

    Raises
    ------
    ValueError
        For another kind of file, or one that cannot be read as such or has no rows.
    ImportError
        If none of the three is installed.
    OSError
        If there is no such file, or it is a folder.
    """
    path = Path(path)
    kind = _kind(path)
    _check_there(path)
    library, size = _installed(), path.stat().st_size
    with (
        path.open("rb") as file,
        tqdm.wrapattr(
            file, "read", total=size, desc=f"reading {path.name}",
            disable=not verbose or size < _LARGE,
        ) as counted,
    ):  # fmt: skip
        try:
            if kind in (".parquet", ".pq"):
                table = _read_parquet(library, counted)
            else:
                data = counted.read()
                packed = path.suffix.lower() == ".gz"
                table = read_text(library, gzip.decompress(data) if packed else data, kind)
        except (ImportError, MemoryError):
            raise
        except Exception as error:
            text = str(error).strip().partition("\n")[0]
            raise ValueError(f"{path} cannot be read as {kind[1:]}: {text}") from error
    frame = nw.from_native(table, eager_only=True)
    if not len(frame):
        raise ValueError(f"{path} expects at least one row, got only {', '.join(frame.columns)}")
    return table


def _kind(path: Path) -> str:
    """The ending that tells the kind of file."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else "".join(suffixes[-1:])
    if kind not in (".csv", ".tsv", ".txt", ".parquet", ".pq") and not path.is_dir():
        raise ValueError(
            f"expected a file that ends in .csv, .csv.gz, .tsv or .parquet, got {str(path)!r}"
        )
    return kind


def _check_there(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(f"expected a file, got the folder {str(path)!r}; name a file in it")
    if not path.exists():
        there = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, there, 1, 0.75)
        hint = f"; did you mean {str(path.parent / near[0])!r}?" if near else ""
        raise FileNotFoundError(f"there is no file {str(path)!r}{hint}")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty; expected a line of names and a row for each stamp")


def _read_parquet(library: Any, file: Any) -> Any:
    if library.__name__ == "pyarrow":
        return importlib.import_module("pyarrow.parquet").read_table(file)
    return library.read_parquet(file)


def read_text(library: Any, data: bytes, kind: str = ".csv") -> Any:
    """A data frame of this library from text, whatever its dialect."""
    data = _as_utf8(data)
    separator, decimal = dialect(data[:_LOOKED_AT].decode(errors="replace"))
    if kind == ".tsv":
        separator = "\t"
    file = io.BytesIO(data)
    if library.__name__ == "polars":
        return library.read_csv(
            file, separator=separator, decimal_comma=decimal == ",", null_values=list(_MISSING),
            infer_schema_length=None if len(data) < _LARGE else 100_000,
        )  # fmt: skip
    if library.__name__ == "pandas":
        return library.read_csv(file, sep=separator, decimal=decimal)
    csv = importlib.import_module("pyarrow.csv")
    texts = csv.ConvertOptions(
        decimal_point=decimal, null_values=list(_MISSING), strings_can_be_null=True,
        timestamp_parsers=[],
    )  # fmt: skip
    options = csv.ParseOptions(delimiter=separator)
    return csv.read_csv(file, parse_options=options, convert_options=texts)


def _as_utf8(data: bytes) -> bytes:
    """Text in UTF-8 without a mark at its beginning."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16").encode()
    data = data.removeprefix(codecs.BOM_UTF8)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # Part by part: the whole text would take several times the room.
        for start in range(0, len(data), _PART):
            decoder.decode(data[start : start + _PART])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return data.decode("latin-1").encode()
    return data


def dialect(text: str) -> tuple[str, str]:
    """What separates the columns of a text, and the decimal sign.

    Parameters
    ----------
    text : str
        Its beginning.

    Returns
    -------
    separator, decimal : str
        The separator that stands most often in the first line, and a comma as the decimal sign
        where it does not separate columns but stands in numbers, and no point does.
    """
    lines = text.splitlines()
    if len(lines) > 1:
        lines = lines[:-1]  # the last one may be cut off
    separator = max(_SEPARATORS, key=lines[0].count) if lines else ","
    if separator == ",":
        return separator, "."
    cells = [cell.strip(' "') for line in lines[1:] for cell in line.split(separator)]
    commas = sum(bool(_WITH_COMMA.fullmatch(cell)) for cell in cells)
    points = sum(bool(_WITH_POINT.fullmatch(cell)) for cell in cells)
    return separator, "," if commas > points else "."


def _installed() -> Any:
    for name in _READERS:
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise ImportError(
        "reading tables takes polars, pandas or pyarrow, of which none is installed: "
        "pip install pandas"
    )


def write_table(frame: Any, path: str | Path | None) -> None:
    """Write a data frame as CSV, or as Parquet where the name ends so; to stdout without a name."""
    table = nw.from_native(frame, eager_only=True)
    if path is None:
        sys.stdout.write(table.write_csv(None))
    elif Path(path).suffix.lower() in (".parquet", ".pq"):
        table.write_parquet(path)
    else:
        table.write_csv(path)


def write_rows(like: Any, rows: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Write rows with the same keys as a table, by the library of the data frame ``like``."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    backend = nw.from_native(like, eager_only=True).implementation
    write_table(nw.to_native(nw.from_dict(columns, backend=backend)), path)


def numeric_columns(frame: Any, id_col: str) -> list[str]:
    """Names of the columns of numbers, the ids left out."""
    schema = nw.from_native(frame, eager_only=True).schema
    found = [name for name, kind in schema.items() if kind.is_numeric() and name != id_col]
    if not found:
        raise ValueError(f"expected a column of numbers beside {id_col!r}, got {', '.join(schema)}")
    return found


def guess_columns(
    frame: Any,
    id_col: str | None,
    time_col: str | None,
    target_col: str | None,
    beside: Sequence[str] = (),
) -> tuple[dict[str, str], list[str]]:
    """Which columns are the ids, the stamps and the target, where it is not said.

    Parameters
    ----------
    frame : data frame
    id_col, time_col, target_col : str or None
        Those that are said.
    beside : sequence of str
        Columns that are none of these.

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
    for name in filter(None, (id_col, time_col, target_col, *beside)):
        if name not in schema:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(schema)}")
    remarks = []
    free = [name for name in schema if name not in (id_col, time_col, target_col, *beside)]
    if time_col is None:
        dated = [name for name in free if schema[name].is_temporal() or _has_stamps(frame, name)]
        time_col = _named(free, _TIMES) or next(iter(dated), None)
        if time_col is None:
            raise ValueError(
                f"which column has the stamps? Say so with --time; there are {', '.join(schema)}"
            )
        if looks_like_stamps([time_col]):
            raise ValueError(
                f"the first line expects names of columns, got {', '.join(schema)}; write such a "
                "line above it, as unique_id,ds,y"
            )
        remarks.append(f"stamps: column {time_col!r}")
        free.remove(time_col) if time_col in free else None
    numeric = [name for name in free if schema[name].is_numeric()]
    if target_col is None:
        target_col = _named(numeric, _TARGETS) or (numeric[0] if len(numeric) == 1 else None)
        if target_col is None and not numeric:
            target_col = _named(free, _TARGETS)  # of text: what is no number in it is told later
        if target_col is None and numeric:
            raise ValueError(
                "which column is to be forecast? Say so with --target; it may be "
                + ", ".join(numeric)
            )
        if target_col is None:
            raise ValueError(
                "which column is to be forecast? None is numeric"
                f"{' but those that are said' if beside else ''}; there are {', '.join(schema)}"
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


def _has_stamps(frame: Any, name: str) -> bool:
    column = nw.from_native(frame, eager_only=True)[name]
    if column.dtype not in (nw.String, nw.Object):
        return False
    first = [value for value in column.head(100).to_list() if value is not None]
    return all(isinstance(value, str) for value in first) and looks_like_stamps(first)


def with_stamps(frame: Any, time_col: str, order: str | None = None) -> tuple[Any, list[str]]:
    """The frame with the stamps of this column in ISO's notation, and remarks on how they were.

    Parameters
    ----------
    frame : data frame
    time_col : str
    order : {"dmy", "mdy"}, optional
        Of days and months in stamps such as 01/02/2024; by default what is possible.

    Raises
    ------
    ValueError
        If they cannot be read, or in two ways.
    """
    table = nw.from_native(frame, eager_only=True)
    if time_col not in table.columns:
        return frame, []
    column = table[time_col]
    if column.dtype.is_integer() and 19_000_101 <= column.min() <= column.max() <= 21_001_231:
        column = column.cast(nw.String)
    if column.dtype not in (nw.String, nw.Object):
        return frame, []
    few = few_texts(column)
    texts = column.to_list() if few is None else few[0]
    if not all(isinstance(text, str) for text in texts):
        return frame, []
    try:
        made, remark = iso_stamps([text.strip() for text in texts], order, "--dates")
    except ValueError as error:
        raise ValueError(f"column {time_col!r}: {error}") from None
    if not remark:
        return frame, []
    if few is not None:
        made = [made[place] for place in few[1].tolist()]
    new = nw.new_series(time_col, made, nw.String, backend=table.implementation)
    return nw.to_native(table.with_columns(new)), [f"stamps: {remark}"]


def check_numbers(frame: Any, name: str) -> None:
    """An error that shows what is no number in a column that was read as text."""
    column = nw.from_native(frame, eager_only=True)[name]
    if column.dtype not in (nw.String, nw.Object):
        return
    wrong = [value for value in column.to_list() if isinstance(value, str) and not _number(value)]
    if wrong:
        some = ", ".join(map(repr, list(dict.fromkeys(wrong))[:3]))
        raise ValueError(
            f"column {name!r} expects numbers, but {len(wrong)} of {len(column)} rows have none: "
            f"{some}; leave the place empty where a value is missing"
        )


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _named(names: list[str], usual: tuple[str, ...]) -> str | None:
    """The first column with one of the usual names."""
    lower = {name.lower(): name for name in names}
    return next((lower[one] for one in usual if one in lower), None)
