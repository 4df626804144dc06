"""The options that commands on one clip share: the clip, and what is known of its physics."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pavas_core.errors import PhysicsError

if TYPE_CHECKING:
    from pavas_core.pipeline import PhysicsOptions


def add_clip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=Path, metavar="CLIP", help="video file")
    parser.add_argument("--start-s", type=float, default=0.0, metavar="S", help="begin here")
    parser.add_argument("--duration-s", type=float, metavar="S", help="and take this much; default: to the end")


def add_physics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", default="", metavar="TEXT", help='what is seen, as: "rubber ball on wooden floor"')
    parser.add_argument(
        "--mass", action="append", default=[], metavar="NAME=KG", help="as: ball=0.6, hammer=500g, *=1 (repeatable)"
    )
    parser.add_argument(
        "--material", action="append", default=[], metavar="NAME=MATERIAL", help="as: ball=rubber (repeatable)"
    )
    parser.add_argument(
        "--action", action="append", default=[], metavar="NAME=WORDS", help="as: ball=rolls, box=slides (repeatable)"
    )
    parser.add_argument(
        "--speed-scale", action="append", default=[], metavar="[NAME=]FACTOR", help="as: 2 or ball=2 (repeatable)"
    )
    parser.add_argument("--metres-per-px", type=float, metavar="M", help="metres that a pixel spans where things move")
    parser.add_argument(
        "--known-size", action="append", default=[], metavar="NAME=M", help="a diameter, as: ball=0.22 (repeatable)"
    )
    parser.add_argument(
        "--time-scale", type=float, default=1.0, metavar="F", help="0.25 for a clip slowed down four times"
    )
    parser.add_argument(
        "--sensitivity", type=float, default=1.0, metavar="F", help="3 where impacts are missed, 0.3 where made up"
    )
    parser.add_argument("--max-objects", type=int, default=8, metavar="N")


def physics_options(options: argparse.Namespace) -> PhysicsOptions:
    from pavas_core.estimation.planar.scale import read_known_sizes
    from pavas_core.physics.overrides import edits_from_options
    from pavas_core.physics.validate import check_factor, check_length_m
    from pavas_core.pipeline import PhysicsOptions

    if options.metres_per_px is not None:
        check_length_m(options.metres_per_px, "--metres-per-px")
    if options.max_objects < 1:
        raise PhysicsError(f"--max-objects is {options.max_objects}: give 1 or more.")
    return PhysicsOptions(
        prompt=options.prompt,
        masses="\n".join(options.mass),
        metres_per_px=options.metres_per_px,
        known_size_m=read_known_sizes(options.known_size),
        time_scale=check_factor(options.time_scale, "--time-scale"),
        sensitivity=check_factor(options.sensitivity, "--sensitivity"),
        max_objects=options.max_objects,
        edits=edits_from_options(options.speed_scale, options.material, options.action),
    )
