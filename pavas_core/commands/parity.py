"""``parity``: our networks against golden numbers of the public references."""

from __future__ import annotations

import argparse
import time
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parity = commands.add_parser(
        "parity", help="compare the networks with golden numbers of the public references", allow_abbrev=False
    )
    parity.add_argument("folder", type=Path, metavar="DIR", help="golden numbers, subfolders included")
    parity.add_argument("--only", default="*", metavar="PATTERN", help="files by name, such as 'tiny_*'")
    parity.add_argument("--seed", type=int, metavar="N", help="of the weights, where the files do not say it")
    parity.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    """Print a line a comparison; 1 if any missed, or if a file has no check."""
    from fnmatch import fnmatch

    from pavas_core.errors import PavasError
    from pavas_core.evaluation.parity.checks import find_checks, run_check

    known, unknown = find_checks(options.folder)
    known = [(path, case) for path, case in known if fnmatch(path.name, options.only)]
    if not known:
        raise PavasError(f"No file of {options.folder} is called {options.only}: give another pattern.")
    compared, missed = 0, 0
    for path, case in known:
        start = time.perf_counter()
        print(path.relative_to(options.folder), flush=True)
        for what, error, tolerance in run_check(path, case, seed=options.seed):
            fits = error <= tolerance  # never true for no number
            compared, missed = compared + 1, missed + (not fits)
            print(f"  {what:<44} {error:9.2e}  of {tolerance:7.0e}  {'ok' if fits else 'MISS'}", flush=True)
        print(f"  {time.perf_counter() - start:.1f} s", flush=True)
    for path in unknown if options.only == "*" else ():
        missed += 1
        print(f"{path.relative_to(options.folder)}\n  there is no check for this file  MISS")
    print(f"{compared} comparisons, {missed} missed.")
    return 1 if missed else 0
