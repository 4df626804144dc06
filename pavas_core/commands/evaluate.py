"""``evaluate``: does the sound follow the physics?"""

from __future__ import annotations

import argparse
from pathlib import Path

from pavas_core.commands.console import make_folder, progress
from pavas_core.errors import PavasError

EXIT_MISSED = 1


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    evaluate = commands.add_parser("evaluate", help="judge how well sound follows physics", allow_abbrev=False)
    evaluate.add_argument("--full", action="store_true", help="many more clips, for an hour or so")
    evaluate.add_argument(
        "--clips", type=int, metavar="N", help="held-out clips instead of 200, and of all else in proportion"
    )
    evaluate.add_argument("--dump", type=Path, metavar="FOLDER", help="write sounds, events and the table there")
    evaluate.add_argument("--weights", type=Path, metavar="FILE", help="weights that `train nano` wrote, not the box's")
    evaluate.add_argument("--processes", type=int, default=2, metavar="N")
    evaluate.add_argument(
        "--sounds", type=Path, metavar="FOLDER", help="instead judge this folder of WAVs by APCC, one per clip"
    )
    evaluate.add_argument(
        "--truth", type=Path, metavar="FOLDER", help="with --sounds: the true sounds of the same clips"
    )
    evaluate.add_argument(
        "--events", type=Path, metavar="FILE", help="with --sounds: the impacts, as --dump writes them"
    )
    evaluate.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    if options.sounds or options.truth or options.events:
        return _judge_folder(options)
    from pavas_core.evaluation.proof import FULL, Size, prove, save_rows, sized

    if options.clips is not None and options.clips < 4:
        raise PavasError(f"--clips is {options.clips}: give 4 or more.")
    if options.processes < 1:
        raise PavasError(f"--processes is {options.processes}: give 1 or more.")
    size = FULL if options.full else Size()
    if options.clips is not None:
        size = sized(options.clips)
    if options.dump:
        make_folder(options.dump)
    with progress() as runtime:
        rows = prove(size, processes=options.processes, weights=options.weights, dump=options.dump, runtime=runtime)
    if options.dump:
        save_rows(rows, options.dump / "table.json")
    print("\n".join(row.text() for row in rows))
    missed = sum(row.met is False for row in rows)
    print(f"\n{missed} bars missed." if missed else "\nEvery bar is met.")
    return EXIT_MISSED if missed else 0


def _judge_folder(options: argparse.Namespace) -> int:
    from pavas_core.evaluation.apcc import VERSION, apcc, folder_strengths, load_events

    if not (options.sounds and options.truth and options.events):
        raise PavasError("--sounds, --truth and --events belong together: give all three.")
    events = load_events(options.events)
    truth, judged = (folder_strengths(events, folder) for folder in (options.truth, options.sounds))
    for log_energy, word in ((False, "linear"), (True, "log")):
        score = apcc(events, truth, judged, log_energy=log_energy)
        print(
            f"APCC-delta, {word}: {score.delta:.3f} ({score.low:.3f} .. {score.high:.3f}), truth {score.truth:.3f}, "
            f"judged {score.judged:.3f}, {len(score.classes)} classes, {score.left_out} impacts left out, "
            f"version {VERSION}"
        )
    return 0
