"""The command line: ``foley`` makes sound for a clip, ``physics`` shows what moves in it, ``simulate`` makes clips."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavas_core import __version__
from pavas_core.errors import MediaError, PavasError, PhysicsError
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    import numpy as np

    from pavas_core.audio import Audio
    from pavas_core.physics.types import Scene
    from pavas_core.pipeline import PhysicsOptions, SoundOptions
    from pavas_core.synthesis.engine import Synthesis
    from pavas_core.video.clip import Clip

EXIT_ERROR, EXIT_STOPPED = 2, 130
REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements" / "core.txt"
SOUND_SUFFIXES = (".wav", ".flac")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 2 for an error told in one sentence, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # names in scripts the terminal does not know
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except PavasError as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pavas_core"):
            raise
        cure = f'"{sys.executable}" -m pip install -r "{REQUIREMENTS}"'
        print(f"Error: The Python package {error.name} is missing: run {cure}.", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("Stopped; nothing half-written is left.", file=sys.stderr)
        return EXIT_STOPPED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pavas_core", description="Sound that obeys the physics on screen.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    foley = commands.add_parser("foley", help="make sound for a clip", allow_abbrev=False)
    _add_clip(foley)
    foley.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="video (.mp4 .mov .mkv .webm) or sound (.wav .flac) to write"
    )
    _add_physics(foley)
    foley.add_argument("--engine", choices=["modal"], default="modal", help="what makes the sound")
    foley.add_argument("--floor", default="", metavar="WORDS", help="what is hit where nothing else says, as: wood")
    foley.add_argument("--room", default="small", help="dry, small or large")
    foley.add_argument(
        "--seed", type=int, default=0, metavar="N", help="other strike positions and noise, same physics"
    )
    foley.add_argument("--takes", type=int, default=1, metavar="N", help="files from N seeds: OUT_take1, OUT_take2 ...")
    foley.add_argument("--stems", action="store_true", help="also a WAV per object; together they are the mix")
    foley.add_argument("--physics-json", type=Path, metavar="FILE", help="also the physics, as JSON")
    foley.add_argument("--keep-original", type=float, metavar="DB", help="mix the clip's own sound under, at this gain")
    foley.add_argument("--gain", type=float, default=0.0, metavar="DB", help="gain of the whole sound")
    foley.add_argument("--sample-rate", type=int, default=48000, metavar="HZ")
    foley.add_argument("--mono", action="store_true", help="one channel instead of two")
    foley.add_argument("--float", action="store_true", help="32-bit floats instead of 24-bit integers in a .wav")
    foley.set_defaults(command=_foley)

    physics = commands.add_parser("physics", help="show what moves in a clip and what it hits", allow_abbrev=False)
    _add_clip(physics)
    physics.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="folder for JSON, CSV and pictures")
    _add_physics(physics)
    physics.add_argument("--pictures", type=int, default=6, metavar="N", help="how many pictures to draw on")
    physics.set_defaults(command=_physics)

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
    simulate.set_defaults(command=_simulate)
    return parser


def _add_clip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=Path, metavar="CLIP", help="video file")
    parser.add_argument("--start-s", type=float, default=0.0, metavar="S", help="begin here")
    parser.add_argument("--duration-s", type=float, metavar="S", help="and take this much; default: to the end")


def _add_physics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", default="", metavar="TEXT", help='what is seen, as: "rubber ball on wooden floor"')
    parser.add_argument(
        "--mass", action="append", default=[], metavar="NAME=KG", help="as: ball=0.6, hammer=500g, *=1 (repeatable)"
    )
    parser.add_argument(
        "--material", action="append", default=[], metavar="NAME=MATERIAL", help="as: ball=rubber (repeatable)"
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
    parser.add_argument("--max-objects", type=int, default=8, metavar="N")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no size like 640x360") from None


def _foley(options: argparse.Namespace) -> None:
    from pavas_core.physics.serialise import save_scene
    from pavas_core.pipeline import SoundOptions, estimate_scene, foley
    from pavas_core.synthesis.room import find_room
    from pavas_core.video.clip import open_clip
    from pavas_core.video.save import refuse_source

    output = options.output or Path(f"{options.clip.stem}_foley.mp4")
    _check_output(output, options)
    find_room(options.room)
    physics = _physics_options(options)
    sound = SoundOptions(
        seed=options.seed,
        takes=options.takes,
        room=options.room,
        floor=options.floor,
        sample_rate=options.sample_rate,
        channels=1 if options.mono else 2,
        gain_db=options.gain,
    )
    clip = open_clip(options.clip, options.start_s, options.duration_s)
    refuse_source(clip, output)
    with _progress() as runtime:
        scene = estimate_scene(clip, physics, runtime)
        takes = foley(scene, options.prompt, sound, runtime)
        written = []
        for number, take in enumerate(takes):
            target = output.with_name(f"{output.stem}_take{number + 1}{output.suffix}") if len(takes) > 1 else output
            settings = _settings(options.clip, physics, sound, number)
            written += _write_take(clip, take, target, options, settings, runtime)
        if options.physics_json is not None:
            _make_folder(options.physics_json.parent)
            written.append(save_scene(scene, options.physics_json))
    print(_report(scene))
    _print_files(written)


def _check_output(output: Path, options: argparse.Namespace) -> None:
    """Refuse before the work what could not be written after it."""
    from pavas_core.video.save import TARGETS

    suffix = output.suffix.lower()
    if suffix not in (*TARGETS, *SOUND_SUFFIXES):
        raise MediaError(
            f"{output.name} is not of a kind that can be written: end it in {', '.join((*TARGETS, *SOUND_SUFFIXES))}."
        )
    if suffix in SOUND_SUFFIXES and options.keep_original is not None:
        raise MediaError("--keep-original mixes into a video: end the output in .mp4, or leave it out.")
    if options.float and suffix != ".wav":
        raise MediaError("--float needs a .wav: end the output in .wav, or leave it out.")
    if options.physics_json is not None and options.physics_json.suffix.lower() != ".json":
        raise MediaError(f"{options.physics_json.name} would hold JSON: end its name in .json.")
    if options.takes < 1:
        raise PavasError(f"{options.takes} takes cannot be made: ask for 1 or more.")


def _write_take(
    clip: Clip, take: Synthesis, target: Path, options: argparse.Namespace, settings: dict[str, Any], runtime: Runtime
) -> list[Path]:
    from pavas_core.video.audio_files import write_flac, write_wav
    from pavas_core.video.save import save_video

    _make_folder(target.parent)
    suffix = target.suffix.lower()
    if suffix == ".wav":
        write_wav(take.mix, target, subtype="float32" if options.float else "pcm24", settings=settings)
    elif suffix == ".flac":
        write_flac(take.mix, target, settings=settings)
    else:
        save_video(
            clip,
            take.mix,
            target,
            original_gain_db=options.keep_original,
            metadata={"pavas": json.dumps(settings, ensure_ascii=False)},
            runtime=runtime,
        )
    written = [target]
    for name, stem in take.stems.items() if options.stems else ():
        # floats, so that the stems add up to the mix however loud they are
        path = target.with_name(f"{target.stem}_stem_{name}.wav")
        write_wav(stem, path, subtype="float32")
        written.append(path)
    return written


def _physics(options: argparse.Namespace) -> None:
    from pavas_core.physics.serialise import save_scene, write_impacts_csv, write_speeds_csv
    from pavas_core.pipeline import estimate_scene
    from pavas_core.plots import overlay_frames, plot_scene
    from pavas_core.video.clip import open_clip, read_audio

    folder = options.output or Path(f"{options.clip.stem}_physics")
    physics = _physics_options(options)
    if options.pictures < 1:
        raise PavasError(f"{options.pictures} pictures cannot be drawn: ask for 1 or more.")
    clip = open_clip(options.clip, options.start_s, options.duration_s)
    name = options.clip.stem
    with _progress() as runtime:
        scene = estimate_scene(clip, physics, runtime)
        audio = _heard(read_audio(clip))
        pictures = overlay_frames(clip, scene, count=options.pictures, runtime=runtime)
        _make_folder(folder)
        written = [
            save_scene(scene, folder / f"{name}.physics.json"),
            write_impacts_csv(scene, folder / f"{name}.impacts.csv"),
            write_speeds_csv(scene, folder / f"{name}.speeds.csv"),
            _write_png(plot_scene(scene, audio), folder / f"{name}.plot.png"),
        ]
        for number, picture in enumerate(pictures):
            written.append(_write_png(picture, folder / f"{name}.frame-{number + 1:02}.png"))
    print(_report(scene))
    _print_files(written)


def _heard(audio: Audio | None) -> Audio | None:
    """None for a sound track that holds digital silence."""
    return audio if audio is not None and audio.waveform.any() else None


def _simulate(options: argparse.Namespace) -> None:
    from pavas_core.simulation.dataset import write_dataset, write_example

    if options.count < 1:
        raise PavasError(f"{options.count} clips cannot be made: ask for 1 or more.")
    if options.seed < 0:
        raise PavasError(f"The seed is {options.seed}: give 0 or more.")
    if options.score:
        from pavas_core.simulation.score import run

        with _progress() as runtime:
            seeds = range(options.seed, options.seed + options.count)
            report = run(seeds, kind=options.kind, runtime=runtime)
        print(report.text())
        return
    with _progress() as runtime:
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
    _print_files(written)


def _physics_options(options: argparse.Namespace) -> PhysicsOptions:
    from pavas_core.estimation.scale import read_known_sizes
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
        max_objects=options.max_objects,
        edits=edits_from_options(options.speed_scale, options.material),
    )


def _settings(clip: Path, physics: PhysicsOptions, sound: SoundOptions, take: int) -> dict[str, Any]:
    """What is needed to make the same sound again."""
    return {
        "pavas": __version__,
        "engine": "modal",
        "clip": clip.name,
        "physics": asdict(physics),
        "sound": {**asdict(sound), "seed": sound.seed + take, "takes": 1},
    }


def _report(scene: Scene) -> str:
    """Objects and impacts as plain tables."""
    objects = [["object", "mass", "material", "top speed", "mass from", "scale from"]]
    for body in scene.bodies:
        speeds = [speed for speed in body.velocity.speed_mps.tolist() if not math.isnan(speed)]
        objects.append(
            [
                body.object.id,
                f"{body.mass.mass_kg:.3g} kg",
                body.object.material,
                f"{max(speeds):.2f} m/s" if speeds else "unknown",
                body.mass.source,
                f"{body.velocity.scale_source.replace('_', ' ')} (±{100 * body.velocity.scale_sigma:.0f} %)",
            ]
        )
    impacts = [["impact", "time", "object", "contact", "with", "approach", "impulse", "energy loss"]]
    for one in scene.impacts:
        impacts.append(
            [
                one.id,
                f"{one.time_s:.3f} s",
                one.object_id,
                one.contact,
                one.partner or one.surface,
                f"{one.pre_normal_mps:.2f} m/s",
                f"{one.impulse_ns:.3g} N s",
                f"{one.energy_loss_j:.3g} J",
            ]
        )
    parts = [
        _table(objects) if scene.bodies else "Nothing moves in this clip.",
        _table(impacts) if scene.impacts else "Nothing is hit.",
        *scene.notes,
    ]
    return "\n\n".join(parts[:2]) + ("\n\n" + "\n".join(parts[2:]) if scene.notes else "")


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _print_files(paths: Sequence[Path]) -> None:
    print("\nWritten:")
    for path in paths:
        print(f"  {path}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"The folder {folder} cannot be made ({error.strerror}): choose another place.") from None


def _write_png(picture: np.ndarray, path: Path) -> Path:
    from PIL import Image

    from pavas_core.video.atomic import replacing

    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    return path


@contextlib.contextmanager
def _progress() -> Iterator[Runtime]:
    """A runtime that draws one bar a stage on a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            for bar in bars.values():
                bar.close()
            bars[stage] = tqdm(total=total, desc=stage, unit="", leave=False, disable=None, file=sys.stderr)
        bars[stage].total = total
        bars[stage].update(done - bars[stage].n)

    try:
        yield Runtime(on_progress=on_progress)
    finally:
        for bar in bars.values():
            bar.close()
