"""``python -m fastlstm warmup``: compile the usual kernels before they are needed."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from fastlstm.kernels.cache import cache_folder, tally
from fastlstm.warmup import warm_up


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m fastlstm", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("warmup", help="compile the usual kernels into the cache")
    parser.parse_args(arguments)
    return warmup()


def warmup() -> int:
    """Compile the usual kernels, and say where they are and how long it took."""
    folder = cache_folder()
    if folder is None:
        print(
            "No cache folder can be used: none can be written, or others may write to it too. "
            "Set NUMBA_CACHE_DIR to a folder of your own.",
            file=sys.stderr,
        )
        return 1
    print(f"Kernels are kept in {folder}")
    logging.getLogger("fastlstm").setLevel(logging.ERROR)  # that it compiles is no news here
    began = time.perf_counter()
    warm_up(lambda usual: print(f"  {usual.title} ...", flush=True))
    seconds = time.perf_counter() - began
    print(f"{tally['compiled']} kernels compiled, {tally['loaded']} loaded: {seconds:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
