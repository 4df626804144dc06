"""``foley``: sound for a clip."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavas_core import __version__
from pavas_core.commands.clip_options import add_clip, add_physics, physics_options
from pavas_core.commands.console import make_folder, print_files, progress, report
from pavas_core.errors import MediaError, PavasError
from pavas_core.runtime import PRECISIONS, Runtime

if TYPE_CHECKING:
    from pavas_core.pipeline import PhysicsOptions, PublishedOptions, SoundOptions
    from pavas_core.synthesis.engine import Synthesis
    from pavas_core.video.clip import Clip

SOUND_SUFFIXES = (".wav", ".flac")


def add(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    foley = commands.add_parser("foley", help="make sound for a clip", allow_abbrev=False)
    add_clip(foley)
    foley.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="video (.mp4 .mov .mkv .webm) or sound (.wav .flac) to write"
    )
    add_physics(foley)
    foley.add_argument("--engine", choices=["modal", "nano", "published"], default="modal", help="what makes the sound")
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
    published = foley.add_argument_group("published networks (--engine published)")
    published.add_argument(
        "--model", default="", metavar="NAME", help="file, or a name that `models list` knows; default: the first here"
    )
    published.add_argument(
        "--adapter", default="", metavar="FILE", help="Phy-Adapter; without one physics is not heard"
    )
    published.add_argument("--negative-prompt", metavar="TEXT", help='not to be heard; default: "speech, voice, music"')
    published.add_argument("--steps", type=int, default=25, metavar="N", help="from noise to sound")
    published.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0])
    published.add_argument("--device", default="", metavar="NAME", help="cpu, cuda or mps; default: the best there is")
    foley.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> None:
    from pavas_core.physics.serialise import save_scene
    from pavas_core.pipeline import PublishedOptions, SoundOptions, estimate_scene, foley, foley_nano, foley_published
    from pavas_core.sampling.prompts import compose_prompt
    from pavas_core.synthesis.room import find_room
    from pavas_core.video.clip import open_clip
    from pavas_core.video.save import refuse_source

    output = options.output or Path(f"{options.clip.stem}_foley.mp4")
    _check_output(output, options)
    find_room(options.room)
    physics = physics_options(options)
    sound = SoundOptions(
        seed=options.seed,
        takes=options.takes,
        room=options.room,
        floor=options.floor,
        sample_rate=options.sample_rate,
        channels=1 if options.mono else 2,
        gain_db=options.gain,
    )
    weights = PublishedOptions(
        options.model, options.adapter, options.precision, options.device, options.negative_prompt, options.steps
    )
    if options.engine != "published":
        _refuse_unused(weights)
    clip = open_clip(options.clip, options.start_s, options.duration_s)
    refuse_source(clip, output)
    with progress() as runtime:
        scene = estimate_scene(clip, physics, runtime)
        prompt = options.prompt
        if options.engine == "nano":
            takes = foley_nano(clip, scene, options.prompt, sound, runtime)
        elif options.engine == "published":
            prompt = prompt or compose_prompt([body.object for body in scene.bodies], scene.impacts)
            print(f"Prompt (another one by --prompt): {prompt or 'empty'}\n", flush=True)
            takes = foley_published(clip, scene, prompt, weights, sound, runtime)
        else:
            takes = foley(scene, options.prompt, sound, runtime)
        written = []
        for number, take in enumerate(takes):
            target = output.with_name(f"{output.stem}_take{number + 1}{output.suffix}") if len(takes) > 1 else output
            settings = _settings(options.clip, options.engine, physics, sound, number)
            if options.engine == "published":
                settings["published"] = {**asdict(weights), "prompt": prompt}
            written += _write_take(clip, take, target, options, settings, runtime)
        if options.physics_json is not None:
            make_folder(options.physics_json.parent)
            written.append(save_scene(scene, options.physics_json))
    print(report(scene))
    print_files(written)


def _check_output(output: Path, options: argparse.Namespace) -> None:
    """Refuse before the work what could not be written after it."""
    from pavas_core.audio import linear_gain
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
    if options.stems and options.engine != "modal":
        raise PavasError("Only the modal engine makes stems: leave --stems out, or use --engine modal.")
    if options.takes < 1:
        raise PavasError(f"{options.takes} takes cannot be made: ask for 1 or more.")
    linear_gain(options.gain)
    if options.keep_original is not None:
        linear_gain(options.keep_original)


def _refuse_unused(weights: PublishedOptions) -> None:
    """Refuse what only published networks take."""
    usual = asdict(type(weights)())
    for name, value in asdict(weights).items():
        if value != usual[name]:
            option = "--" + name.replace("_", "-")
            raise PavasError(f"{option} is for published networks: leave it out, or use --engine published.")


def _write_take(
    clip: Clip, take: Synthesis, target: Path, options: argparse.Namespace, settings: dict[str, Any], runtime: Runtime
) -> list[Path]:
    from pavas_core.video.audio_files import write_flac, write_wav
    from pavas_core.video.save import save_video

    make_folder(target.parent)
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


def _settings(clip: Path, engine: str, physics: PhysicsOptions, sound: SoundOptions, take: int) -> dict[str, Any]:
    """What is needed to make the same sound again."""
    return {
        "pavas": __version__,
        "engine": engine,
        "clip": clip.name,
        "physics": asdict(physics),
        "sound": {**asdict(sound), "seed": sound.seed + take, "takes": 1},
    }
