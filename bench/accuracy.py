"""How well fastlstm forecasts, beside simple rules and peers, without which no figure says much.

    python bench/accuracy.py --data FOLDER                     # all protocols whose data are there
    python bench/accuracy.py --data FOLDER --protocols m4 --models MQRNN,Ridge --seeds 1
    python bench/accuracy.py --data FOLDER --protocols m4 --series 60   # of 414: an hour less
    python bench/accuracy.py --data FOLDER --protocols ett --horizons 96,192 --look-back 96
    python bench/accuracy.py --data FOLDER --peer-python OTHER_VENV/bin/python
    python bench/accuracy.py --self-check                      # seconds, without data

FOLDER has folders ``m4``, ``ett`` and ``electricity_prices``; what is to be in them, where it comes
from and what is done with it says ``protocols.py``. Each run has a process of its own, so that the
memory shown is its own, and is first tried for a step on something small: seconds are those of
learning and forecasting with everything compiled and in the cache. Networks run with several seeds:
means, and the distance of the best from the worst.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

if __package__ in (None, ""):  # run as a file: the folder above is where imports start
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import fastlstm
from bench import memory
from bench.contestants import ALONE, CERTAIN, PEERS, NotInstalledError, contestant, ours
from bench.protocols import Data, ett, m4, prices, synthetic, tuned_ridge

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"m4": "m4", "ett": "ett", "prices": "electricity_prices"}
# Of the models, those that take hours to go from each hour of a year are left out unless named.
SHORT = {"ett": ["Naive", "SeasonalNaive", "Ridge", "tuned ridge", "SegRNN"]}
QUICK = 100


class Row(NamedTuple):
    """A line of the table: scores of each run, its seconds, its peak of memory in MB."""

    protocol: str
    model: str
    scores: list[dict[str, float]]
    seconds: list[float]
    megabytes: list[float]
    notes: str = ""


# -- one run, in a process of its own --------------------------------------------------------------


def run(data: Data, name: str, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """Learn, forecast from each origin, and score."""
    start = time.perf_counter()
    notes, fitted = "", 0.0
    if name == "tuned ridge":
        forecast = tuned_ridge(data)
    else:
        model = contestant(name, data, seed, options)
        model.fit(data, data.held)
        fitted, notes = time.perf_counter() - start, model.notes
        forecast = np.stack([model.forecast(data, left) for left in data.lefts()], axis=1)
    known = list(data.known(data.held).values())
    return {
        "scores": data.score(forecast, data.came(), known),
        "seconds": time.perf_counter() - start,
        "fit": fitted,
        "notes": notes,
    }


def _work(task: dict[str, Any]) -> dict[str, Any]:
    """What the process is started for."""
    fastlstm.set_num_threads(task["threads"])
    if "torch" in sys.modules or task["model"] in PEERS:
        os.environ["OMP_NUM_THREADS"] = str(task["threads"])
    data = _data(task["protocol"], Path(task["folder"]), task)
    name = task["model"]
    try:
        if name != "tuned ridge":
            small = synthetic() if data.stamps else synthetic()._replace(stamps={}, columns={})
            if data.validation:
                small = small._replace(look_back=48)
            run(small, name, 0, {"max_steps": 1})
        kept = memory.mark() if sys.platform == "linux" else None
        result = run(data, name, task["seed"], task["options"])
    except NotInstalledError as error:
        return {"missing": str(error)}
    if kept is not None:
        result["megabytes"] = memory.since(kept).total / 2**20
    return result


def _data(protocol: str, folder: Path, task: dict[str, Any]) -> Data:
    if protocol == "synthetic":
        return synthetic()
    if protocol == "m4":
        return m4(folder, task["series"])
    if protocol == "ett":
        data = ett(folder, task["h"], task["look_back"], task["univariate"])
    else:
        data = prices(folder, task["weeks"])
        if task["columns"] is False:
            data = data.without_columns()
    if task["quick"] and protocol == "ett":
        # Every third day.
        data = data._replace(step=72, windows=(data.windows - 1) // 72 + 1)
    return data


# -- all of them -----------------------------------------------------------------------------------


def tasks(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All runs that are asked for, protocol by protocol, model by model."""
    common = {"threads": given.threads, "quick": given.quick, "options": given.options}
    for protocol in given.protocols:
        names = given.models or SHORT.get(protocol, [*ours(), *PEERS])
        variants: list[dict[str, Any]] = [{}]
        if protocol == "ett":
            kinds = [True] if given.univariate else [False]
            variants = [
                {"h": h, "look_back": look_back, "univariate": kind}
                for kind in kinds
                for look_back in given.look_back
                for h in given.horizons
            ]
        elif protocol == "m4":
            variants = [{"series": given.series}]
        elif protocol == "prices":
            variants = [{"weeks": given.weeks, "columns": columns} for columns in (False, True)]
        folder = str(given.data / FOLDERS[protocol]) if protocol in FOLDERS else "."
        for variant in variants:
            for name in names:
                if name == "tuned ridge" and protocol != "ett":
                    continue
                if variant.get("columns") and name in ALONE:
                    continue
                for seed in range(1 if name in CERTAIN else given.seeds):
                    yield {
                        "protocol": protocol, "folder": folder, "model": name, "seed": seed,
                        **common, **variant,
                    }  # fmt: skip


def measured(given: argparse.Namespace) -> list[Row]:
    """Start a process for each run, one after another; what is done so far at Ctrl-C."""
    rows: dict[tuple[str, str], Row] = {}
    try:
        _measure(given, rows)
    except KeyboardInterrupt:
        print("stopped; these runs are done:", file=sys.stderr, flush=True)
    return list(rows.values())


def _measure(given: argparse.Namespace, rows: dict[tuple[str, str], Row]) -> None:
    for task in tasks(given):
        python = given.peer_python if task["model"] in PEERS else sys.executable
        done = subprocess.run(
            [python, __file__, "--worker", json.dumps(task)],
            capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])
                 if python == sys.executable else str(ROOT)},
        )  # fmt: skip
        label = _label(task)
        what = f"{label}, {task['model']}, seed {task['seed']}"
        answer = done.stdout.splitlines()[-1:] if done.returncode == 0 else []
        result = json.loads(answer[0]) if answer else {}
        if "missing" in result:
            print(f"{what}: not installed; {result['missing']}", file=sys.stderr, flush=True)
            continue
        key = (label, task["model"])
        row = rows.setdefault(key, Row(*key, [], [], []))
        if not result:
            why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            print(f"{what}: failed: {why}", file=sys.stderr, flush=True)
            rows[key] = row._replace(notes=why)
            continue
        row.scores.append(result["scores"])
        row.seconds.append(result["seconds"])
        row.megabytes.append(result.get("megabytes", np.nan))
        if result["notes"]:
            rows[key] = row._replace(notes=result["notes"])
        said = " ".join(f"{key} {value:.4f}" for key, value in result["scores"].items())
        print(f"{what}: {said}, {result['seconds']:.1f} s", file=sys.stderr, flush=True)


def _label(task: dict[str, Any]) -> str:
    if task["protocol"] == "ett":
        kind = " OT" if task["univariate"] else ""
        return f"ett{kind}, {task['h']} of {task['look_back']}"
    if task["protocol"] == "prices":
        return f"prices, {'with' if task['columns'] else 'without'} columns"
    if task["protocol"] == "m4" and task["series"]:
        return f"m4, {task['series']} series"
    return task["protocol"]


def table(rows: Sequence[Row]) -> str:
    """Of Markdown: a part for each protocol, a line for each model."""
    parts = []
    for protocol in dict.fromkeys(row.protocol for row in rows):
        own = [row for row in rows if row.protocol == protocol]
        names = list(next((row.scores[0] for row in own if row.scores), {}))
        head = ["model", *names, "spread", "seconds", "MB", ""]
        lines = [f"### {protocol}", "", "| " + " | ".join(head) + " |"]
        lines.append("| --- |" + " ---: |" * (len(names) + 3) + " --- |")
        for row in own:
            values = [np.array([one[name] for one in row.scores]) for name in names]
            cells = [f"{value.mean():.4f}" if len(value) else "failed" for value in values]
            spread = f"{np.ptp(values[0]):.4f}" if len(row.scores) > 1 else ""
            used = ["", ""]
            if row.scores:
                used = [f"{np.mean(row.seconds):.1f}", f"{np.mean(row.megabytes):.0f}"]
            lines.append("| " + " | ".join([row.model, *cells, spread, *used, row.notes]) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main() -> int:
    """Run as the arguments say; 1 where nothing could be measured or something failed."""
    given = _arguments()
    if given.worker:
        print(json.dumps(_work(json.loads(given.worker))))
        return 0
    rows = measured(given)
    print(table(rows))
    if given.json:
        Path(given.json).write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    return 0 if rows and all(row.scores for row in rows) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with folders of data")
    parser.add_argument("--protocols", type=_words, help=f"some of {','.join(FOLDERS)}")
    parser.add_argument("--models", type=_models, help="names of forecasters and peers")
    parser.add_argument("--horizons", type=_numbers, default="96,192,336,720", help="of ett")
    parser.add_argument("--look-back", type=_numbers, default="336", help="of ett; several run all")
    parser.add_argument("--univariate", action="store_true", help="of ett the oil temperature")
    parser.add_argument("--series", type=int, help="of m4 so many series only, far apart")
    parser.add_argument("--weeks", type=int, default=4, help="of prices, how many are forecast")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each network")
    parser.add_argument("--options", type=json.loads, default={}, help="of the models, as JSON")
    parser.add_argument("--threads", type=int, default=fastlstm.get_num_threads())
    parser.add_argument("--quick", action="store_true", help=f"one seed, {QUICK} steps")
    parser.add_argument("--self-check", action="store_true", help="a try without data")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter of the peers")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return given
    if given.self_check:
        given.protocols, given.quick = ["synthetic"], True
        given.models = given.models or ["SeasonalNaive", "Ridge", "MQRNN"]
    if given.quick:
        given.seeds, given.options = (
            1,
            {"max_steps": 5 if given.self_check else QUICK, **given.options},
        )
    if given.protocols is None or not given.self_check:
        if given.data is None:
            parser.error("--data FOLDER is needed, or --self-check")
        there = [name for name, folder in FOLDERS.items() if (given.data / folder).is_dir()]
        for name in given.protocols or there:
            if name not in there:
                known = FOLDERS.get(name)
                parser.error(
                    f"--protocols expects some of {','.join(FOLDERS)}, got {name!r}"
                    if known is None
                    else f"{name} needs {given.data / known}: see bench/protocols.py"
                )
        if not there:
            parser.error(f"{given.data} has none of the folders {', '.join(FOLDERS.values())}")
        given.protocols = given.protocols or there
    return given


def _words(text: str) -> list[str]:
    return text.split(",")


def _models(text: str) -> list[str]:
    """Names between commas, of which some peers' have one."""
    known, words = [*ours(), *PEERS, "tuned ridge"], []
    for word in text.split(","):
        if words and f"{words[-1]},{word}" in known:
            words[-1] += f",{word}"
        else:
            words.append(word)
    wrong = [word for word in words if word not in known]
    if wrong:
        raise argparse.ArgumentTypeError(f"expected some of {known}, got {wrong}")
    return words


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
