"""``simulate``: clips whose physics is known, and how well it is estimated."""

from __future__ import annotations

import argparse
from pathlib import Path

from pavas_core.commands.console import print_files, progress
from pavas_core.errors import PavasError


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    simulate = commands.add_parser("simulate", help="make clips whose physics is known", allow_abbrev=False)
    simulate.add_argument("-o", "--output", type=Path, default=Path("scenes"), metavar="FOLDER")
    simulate.add_argument("--count", type=int, default=1, metavar="N")
    simulate.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of the first clip; the next ones follow"
    )
    simulate.add_argument("--kind", help="one kind of scene only")
    simulate.add_argument("--size", type=_size, metavar="WxH", help="pixels, such as 640x360")
    simulate.add_argument("--fps", type=float, metavar="HZ")
    simulate.add_argument("--duration-s", type=float, metavar="S")
    simulate.add_argument("--no-sound", action="store_true", help="clips without a sound track")
    simulate.add_argument("--example", action="store_true", help="the pack's example clip instead")
    simulate.add_argument("--score", action="store_true", help="instead tell how well such clips' physics is estimated")
    simulate.set_defaults(command=_run)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size like 640x360") from None


def _run(options: argparse.Namespace) -> None:
    from pavas_core.simulation.dataset import write_dataset, write_example

    if options.count < 1:
        raise PavasError(f"{options.count} clips cannot be made: ask for 1 or more.")
    if options.seed < 0:
        raise PavasError(f"The seed is {options.seed}: give 0 or more.")
    if options.score:
        from pavas_core.simulation.score import run

        with progress() as runtime:
            seeds = range(options.seed, options.seed + options.count)
            report = run(seeds, kind=options.kind, runtime=runtime)
        print(report.text())
        return
    with progress() as runtime:
        if options.example:
            written = [write_example(options.output, runtime)]
        else:
            written = write_dataset(
                options.output,
                range(options.seed, options.seed + options.count),
                kind=options.kind,
                size=options.size,
                frame_rate=options.fps,
                duration_s=options.duration_s,
                sound=not options.no_sound,
                runtime=runtime,
            )
    print_files(written)
