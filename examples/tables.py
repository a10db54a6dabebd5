"""What the examples of forecasting share: data out of packages, tables of scores."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from fastlstm.forecasting import scores


def packaged(package: str, path: str) -> Path:
    """A data file inside an installed package, of which nothing is imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the data are missing: pip install --no-deps {package}; or --data PATH")
    return Path(found.submodule_search_locations[0], path)


def own(path: str) -> pd.DataFrame:
    """A CSV of yours, with the columns ds and y, and unique_id if there are several series."""
    return pd.read_csv(path, parse_dates=["ds"])


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print a table: a line for each name, a column for each key."""
    names = list(next(iter(rows.values())))
    wide = max(map(len, rows))
    print(f"\n{title}\n  {'':{wide}}" + "".join(f"{name:>14}" for name in names))
    for name, row in rows.items():
        print(f"  {name:{wide}}" + "".join(f"{_shown(row[key]):>14}" for key in names))


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def scores_of(table: pd.DataFrame, name: str, level: int = 80) -> dict[str, float]:
    """Error and coverage of a table that ``cross_validation(level=[level])`` made."""
    y = table["y"].to_numpy()
    low, high = (table[f"{name}-{side}-{level}"].to_numpy() for side in ("lo", "hi"))
    return {
        "mae": scores.mae(y, table[name].to_numpy()),
        f"cover {level} %": 100 * scores.coverage(y, low, high),
        "mean width": float(np.mean(high - low)),
    }
