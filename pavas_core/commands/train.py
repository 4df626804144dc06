"""``train``: pavas-nano, the scorer of impacts and what tells objects, from simulated scenes; what weighs moments."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pavas_core.commands.console import make_folder, print_files, progress
from pavas_core.errors import PavasError


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    train = commands.add_parser(
        "train",
        help="train pavas-nano, the scorer of impacts, what tells objects, or what weighs moments",
        allow_abbrev=False,
    )
    train.add_argument("model", choices=["nano", "impacts", "objects", "moments"])
    train.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="scenes, checkpoints, metrics, weights"
    )
    train.add_argument(
        "--scenes",
        type=int,
        metavar="N",
        help="2400 for nano; 500 for impacts, not rendered; 150 for objects; 110 for moments",
    )
    train.add_argument(
        "--tracked", type=int, default=3000, metavar="N", help="impacts: scenes that are rendered and tracked"
    )
    train.add_argument(
        "--marks", type=Path, metavar="FILE", help="moments: clips and their blows (docs/weight-free-estimators.md)"
    )
    train.add_argument("--steps", type=int, metavar="N", help="6000 for nano and impacts")
    train.add_argument("--batch", type=int, metavar="N", help="24 for nano, 32 for impacts")
    train.add_argument("--seed", type=int, default=0, metavar="N")
    train.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda")
    train.add_argument("--threads", type=int, default=0, metavar="N", help="0 = as many as there are cores")
    train.add_argument("--processes", type=int, default=1, metavar="N", help="share every batch among N processes")
    train.add_argument(
        "--ablate",
        choices=["none", "mass", "speed", "both"],
        help="a row of the paper's table 3 instead: which of mass and speed the adapter hears; never the impacts",
    )
    train.add_argument(
        "--injection", choices=["delta", "sum"], default="delta", help="with --ablate: how the adapter speaks"
    )
    train.add_argument(
        "--base", type=Path, metavar="FILE", help="best.pt of another run, whose transformer stays as it is"
    )
    train.add_argument(
        "--start", type=Path, metavar="FILE", help="best.pt of another run to begin with; all of it is trained on"
    )
    train.add_argument("--rate", type=float, metavar="X", help="nano: highest learning rate, 0.0015")
    train.set_defaults(command=_run)


_DEFAULTS = {
    "nano": {"scenes": 2400, "steps": 6000, "batch": 24},
    "impacts": {"scenes": 500, "steps": 6000, "batch": 32},
    "objects": {"scenes": 150},
    "moments": {"scenes": 110},
}


def _run(options: argparse.Namespace) -> None:
    from pavas_core.models.nano_config import ablated_config
    from pavas_core.training.loop import Recipe
    from pavas_core.training.nano import train_nano

    for name, value in _DEFAULTS[options.model].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    for name in ("scenes", "steps", "batch", "processes"):
        least, given = 1 if name == "processes" else 4, getattr(options, name)
        if given is not None and given < least:
            raise PavasError(f"--{name} is {given}: give {least} or more.")
    for path in (options.base, options.start):
        if path is not None and not path.is_file():
            raise PavasError(f"{path} does not exist: give the best.pt of an earlier run.")
    if options.base is not None and options.start is not None:
        raise PavasError("--base and --start exclude each other: a transformer stays as it is or is trained on.")
    if options.rate is not None and not 0 < options.rate < 1:
        raise PavasError(f"--rate is {options.rate:g}: give a number between 0 and 1, such as 0.0015.")
    if options.model == "impacts":
        _train_impacts(options)
        return
    if options.model == "objects":
        _train_objects(options)
        return
    if options.model == "moments":
        _train_moments(options)
        return
    adapter = ablated_config(options.ablate, options.injection) if options.ablate else None
    make_folder(options.out)
    recipe = Recipe(steps=options.steps, batch=options.batch, seed=options.seed)
    if options.rate is not None:
        recipe = replace(recipe, learning_rate=options.rate)
    with progress() as runtime:
        written = train_nano(
            options.out,
            recipe,
            scenes=options.scenes,
            device=options.device,
            threads=options.threads,
            processes=options.processes,
            adapter=adapter,
            base=options.base,
            start_from=options.start,
            runtime=runtime,
        )
    print_files([written])


def _train_impacts(options: argparse.Namespace) -> None:
    from pavas_core.training.impacts import ImpactRecipe, train_impacts

    if options.tracked < 0:
        raise PavasError(f"--tracked is {options.tracked}: give 0 or more.")
    _refuse_what_is_nanos(options)
    recipe = ImpactRecipe(steps=options.steps, batch=options.batch, seed=options.seed)
    with progress() as runtime:
        written = train_impacts(options.out, recipe, imitated=options.scenes, tracked=options.tracked, runtime=runtime)
    print_files([written])


def _train_objects(options: argparse.Namespace) -> None:
    from pavas_core.training.objects import train_objects

    _refuse_what_is_nanos(options)
    with progress() as runtime:
        written = train_objects(options.out, scenes=options.scenes, runtime=runtime)
    print_files([written])


def _train_moments(options: argparse.Namespace) -> None:
    from pavas_core.training.moments import read_marks, train_moments

    _refuse_what_is_nanos(options)
    for name in ("steps", "batch"):
        if getattr(options, name) is not None:
            raise PavasError(f"--{name} says nothing to moments, which are fitted at once: leave it out.")
    if options.marks is None:
        raise PavasError("moments are fitted on clips of yours: give the list of them and their blows with --marks.")
    clips = read_marks(options.marks)
    with progress() as runtime:
        written = train_moments(options.out, clips, scenes=options.scenes, runtime=runtime)
    print_files([written])


def _refuse_what_is_nanos(options: argparse.Namespace) -> None:
    for name in ("ablate", "base", "start", "rate"):
        if getattr(options, name) is not None:
            raise PavasError(f"--{name} belongs to nano: leave it out for {options.model}.")
