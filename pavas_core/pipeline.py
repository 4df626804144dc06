"""The main job in one piece, as the command line runs it: a clip to its physics, and physics to sound."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavas_core.errors import PavasError, PhysicsError
from pavas_core.physics.names import NAMELESS, find_objects
from pavas_core.physics.types import MovingObject, ObjectSet, Scene
from pavas_core.runtime import Runtime

if TYPE_CHECKING:
    from pavas_core.audio import Audio
    from pavas_core.models.sound_model import SoundModel
    from pavas_core.synthesis.engine import Synthesis
    from pavas_core.video.clip import Clip

log = logging.getLogger("pavas")

GENERIC_NAMES = (NAMELESS, "ball")
"""What the motion detector calls things."""


@dataclass(frozen=True)
class PhysicsOptions:
    """What the user knows about the clip."""

    prompt: str = ""
    masses: str = ""
    """Items as ``masses_from_text`` reads them."""
    metres_per_px: float | None = None
    known_size_m: Mapping[str, float] = field(default_factory=dict)
    """Diameters in metres by object name or id."""
    time_scale: float = 1.0
    sensitivity: float = 1.0
    """Factor on the odds that a moment is an impact."""
    max_objects: int = 8
    edits: Mapping[str, Any] = field(default_factory=dict)
    """Corrections as ``apply_edits`` takes them."""


@dataclass(frozen=True)
class SoundOptions:
    """How the scene shall sound."""

    seed: int = 0
    takes: int = 1
    room: str = "small"
    floor: str = ""
    """What an unknown surface is made of; empty = what the prompt says."""
    sample_rate: int = 48000
    channels: int = 2
    gain_db: float = 0.0


@dataclass(frozen=True)
class PublishedOptions:
    """Which published network makes the sound, and how."""

    model: str = ""
    """A file, its name in the models' folders or a name of the catalogue; empty = the first network found."""
    adapter: str = ""
    """File of a Phy-Adapter; empty = the one in the network's file, if any."""
    precision: str = "auto"
    device: str = ""
    """Empty = the best there is."""
    negative_prompt: str | None = None
    """None = the usual one."""
    steps: int = 25


def estimate_scene(clip: Clip, options: PhysicsOptions | None = None, runtime: Runtime | None = None) -> Scene:
    """What moves in ``clip``, how heavy and how fast it is and what it hits, with the user's corrections.

    Raises PhysicsError for options that do not fit what is there, MediaError where the clip cannot be read.
    """
    from pavas_core.estimation.masses import masses_from_text
    from pavas_core.estimation.planar.velocity import planar_velocity
    from pavas_core.estimation.tracking.motion import detect_motion, track_motion
    from pavas_core.physics.combine import combine_physics
    from pavas_core.physics.overrides import apply_edits
    from pavas_core.synthesis.prompt import apply_prompt

    options, runtime = options or PhysicsOptions(), runtime or Runtime()
    objects = detect_motion(clip, max_objects=options.max_objects, runtime=runtime)
    objects = named_by_prompt(objects, options.prompt)
    tracks = track_motion(clip, objects, runtime=runtime)
    velocities = planar_velocity(
        tracks,
        objects,
        metres_per_px=options.metres_per_px,
        known_size_m=_by_id(options.known_size_m, objects.objects) or None,
        time_scale=options.time_scale,
        sensitivity=options.sensitivity,
        runtime=runtime,
    )
    masses = masses_from_text(options.masses, objects, velocities)
    scene = combine_physics(objects, tracks, masses, velocities)
    scene, _, unused = apply_prompt(scene, options.prompt)
    if unused:
        log.warning("The prompt's words %s name no material or shape and are not used.", ", ".join(unused))
    return apply_edits(scene, options.edits)


def foley(
    scene: Scene, prompt: str = "", options: SoundOptions | None = None, runtime: Runtime | None = None
) -> list[Synthesis]:
    """The scene's sound, one take per seed from ``options.seed`` on. Raises PavasError for impossible options."""
    from pavas_core.synthesis.engine import synthesize_impacts
    from pavas_core.synthesis.prompt import parse_prompt

    options, runtime = options or SoundOptions(), runtime or Runtime()
    if options.takes < 1:
        raise PavasError(f"{options.takes} takes cannot be made: ask for 1 or more.")
    return [
        synthesize_impacts(
            scene,
            sample_rate=options.sample_rate,
            channels=options.channels,
            seed=options.seed + take,
            room=options.room,
            floor=options.floor or parse_prompt(prompt).surface,
            output_gain_db=options.gain_db,
            runtime=runtime,
        )
        for take in range(options.takes)
    ]


def foley_nano(
    clip: Clip, scene: Scene, prompt: str = "", options: SoundOptions | None = None, runtime: Runtime | None = None
) -> list[Synthesis]:
    """The sound that the network in the box makes of ``clip`` under the physics of ``scene``, one take per seed.

    Raises PavasError for options that only the modal engine has.
    """
    from pavas_core.models import nano
    from pavas_core.physics.lasting import find_lasting_contacts
    from pavas_core.synthesis.materials import words_to_material
    from pavas_core.synthesis.prompt import parse_prompt

    options, runtime = options or SoundOptions(), runtime or Runtime()
    if options.takes < 1:
        raise PavasError(f"{options.takes} takes cannot be made: ask for 1 or more.")
    if options.room != "small":
        raise PavasError(f"{nano.NAME} knows one small room: leave --room out, or use --engine modal.")
    floor = words_to_material(options.floor)
    if options.floor and floor is None:
        log.warning("No known material in '%s'; the floor is what the prompt says.", options.floor)
    if find_lasting_contacts(scene):
        log.warning("%s makes impacts alone: use --engine modal to hear what rolls or slides.", nano.NAME)
    surface = floor or parse_prompt(prompt).surface
    model = nano.load_nano(runtime)
    return _sampled(
        model,
        clip,
        scene,
        options,
        runtime,
        prompt=nano.prompt_of(scene, surface),
        steps=nano.STEPS,
        cfg_strength=nano.CFG_STRENGTH,
    )


def foley_published(
    clip: Clip,
    scene: Scene,
    prompt: str,
    weights: PublishedOptions,
    options: SoundOptions | None = None,
    runtime: Runtime | None = None,
) -> list[Synthesis]:
    """The sound that a published network makes of ``clip``, one take per seed; ``scene`` steers it by an adapter.

    Raises WeightsError for files that are missing or do not fit, PavasError for options that only the modal engine has.
    """
    from pavas_core.models.published import load_published
    from pavas_core.sampling.generate import NEGATIVE_PROMPT
    from pavas_core.weights.companions import network_named
    from pavas_core.weights.folders import default_folders, usable_files

    options, runtime = options or SoundOptions(), runtime or Runtime()
    if options.takes < 1:
        raise PavasError(f"{options.takes} takes cannot be made: ask for 1 or more.")
    if options.room != "small":
        raise PavasError("A published network makes its own room: leave --room out, or use --engine modal.")
    runtime = replace(runtime, device=weights.device or best_device())
    folders = default_folders()
    files = usable_files(folders)
    model = load_published(
        network_named(weights.model, files, folders),
        adapter=Path(weights.adapter) if weights.adapter else None,
        precision=weights.precision,
        files=files,
        folders=folders,
        runtime=runtime,
    )
    for line in model.summary.splitlines():
        log.info("%s", line)
    return _sampled(
        model,
        clip,
        scene,
        options,
        runtime,
        prompt=prompt,
        negative_prompt=NEGATIVE_PROMPT if weights.negative_prompt is None else weights.negative_prompt,
        steps=weights.steps,
    )


def _sampled(
    model: SoundModel, clip: Clip, scene: Scene, options: SoundOptions, runtime: Runtime, **guidance: Any
) -> list[Synthesis]:
    """What ``model`` makes of the clip and, where it has an adapter, of the scene's physics; a sound a take."""
    from pavas_core.sampling.generate import generate
    from pavas_core.sampling.physics import encode_physics
    from pavas_core.sampling.vocode import vocode

    features = model.encode_video(clip, scene.tracks, runtime=runtime)
    physics = encode_physics(model, features, scene, runtime=runtime) if model.adapter is not None else None
    latent = generate(model, features, physics, seed=options.seed, takes=options.takes, runtime=runtime, **guidance)
    sounds = vocode(model, latent, features.duration_s, output_gain_db=options.gain_db, runtime=runtime)
    return [_as_asked(sound, options) for sound in sounds]


def best_device() -> str:
    """The fastest kind of device that torch finds here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _as_asked(sound: Audio, options: SoundOptions) -> Synthesis:
    """A network's mono sound in the asked rate and channels."""
    import numpy as np

    from pavas_core.audio import Audio
    from pavas_core.synthesis.engine import Synthesis
    from pavas_core.video.soundtrack import resample

    heard = resample(sound, options.sample_rate)
    return Synthesis(Audio(np.repeat(heard.waveform, options.channels, axis=0), options.sample_rate), {})


def named_by_prompt(objects: ObjectSet, prompt: str) -> ObjectSet:
    """``objects`` with what a prompt calls them among their aliases, for masses and shapes.

    Only things without a name of their own take part: those that look like balls are the one ball that the prompt
    speaks of, the others the one other thing. A prompt about a single thing speaks of all that it can mean.
    """
    from pavas_core.estimation.masses import find_entry
    from pavas_core.synthesis.prompt import parse_prompt

    things = [words for words in parse_prompt(prompt).materials if words != "*"]
    entries = {words: find_entry(words) for words in things}
    balls = [words for words, entry in entries.items() if entry is not None and "ball" in (entry.name, entry.kind[-4:])]
    others = [words for words in things if words not in balls]
    alone = len(things) == 1
    any_round = any(one.name == "ball" for one in objects.objects)

    def named(one: MovingObject) -> MovingObject:
        meant = balls if one.name == "ball" else others
        if alone and (others or not any_round):
            meant = things
        entry = entries[meant[0]] if len(meant) == 1 else None
        if one.name not in GENERIC_NAMES or entry is None or entry.name in GENERIC_NAMES:
            return one
        return replace(one, aliases=(*one.aliases, meant[0]))

    return replace(objects, objects=tuple(map(named, objects.objects)))


def _by_id(sizes_m: Mapping[str, float], things: Sequence[MovingObject]) -> dict[str, float]:
    """Sizes by object id; a name stands for all objects of that name. Raises PhysicsError for unknown names."""
    from pavas_core.physics.validate import check_length_m

    found: dict[str, float] = {}
    for name, size_m in sizes_m.items():
        check_length_m(size_m, f"The size of {name}")
        for thing in find_objects(name, things)[0]:
            if thing.id in found:
                raise PhysicsError(f"The size of {thing.id} is given twice: keep one.")
            found[thing.id] = size_m
    return found
