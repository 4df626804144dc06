"""``physics``: what moves in a clip and what it hits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pavas_core.commands.clip_options import add_clip, add_physics, physics_options
from pavas_core.commands.console import make_folder, print_files, progress, report, write_png
from pavas_core.errors import PavasError

if TYPE_CHECKING:
    from pavas_core.audio import Audio


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    physics = commands.add_parser("physics", help="show what moves in a clip and what it hits", allow_abbrev=False)
    add_clip(physics)
    physics.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="folder for JSON, CSV and pictures")
    add_physics(physics)
    physics.add_argument("--pictures", type=int, default=6, metavar="N", help="how many pictures to draw on")
    physics.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    from pavas_core.physics.serialise import save_scene, write_impacts_csv, write_speeds_csv
    from pavas_core.pipeline import estimate_scene
    from pavas_core.plots import overlay_frames, plot_scene
    from pavas_core.video.clip import open_clip, read_audio

    folder = options.output or Path(f"{options.clip.stem}_physics")
    physics = physics_options(options)
    if options.pictures < 1:
        raise PavasError(f"{options.pictures} pictures cannot be drawn: ask for 1 or more.")
    clip = open_clip(options.clip, options.start_s, options.duration_s)
    name = options.clip.stem
    with progress() as runtime:
        scene = estimate_scene(clip, physics, runtime)
        audio = _heard(read_audio(clip))
        pictures = overlay_frames(clip, scene, count=options.pictures, runtime=runtime)
        make_folder(folder)
        written = [
            save_scene(scene, folder / f"{name}.physics.json"),
            write_impacts_csv(scene, folder / f"{name}.impacts.csv"),
            write_speeds_csv(scene, folder / f"{name}.speeds.csv"),
            write_png(plot_scene(scene, audio), folder / f"{name}.plot.png"),
        ]
        for number, picture in enumerate(pictures):
            written.append(write_png(picture, folder / f"{name}.frame-{number + 1:02}.png"))
    print(report(scene))
    print_files(written)


def _heard(audio: Audio | None) -> Audio | None:
    """None for a sound track that holds digital silence."""
    return audio if audio is not None and audio.waveform.any() else None
