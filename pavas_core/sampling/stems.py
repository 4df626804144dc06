"""A sound of its own for every object by a network that makes only one: each is looked at and conditioned alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.audio import Audio
from pavas_core.errors import PhysicsError
from pavas_core.runtime import Runtime
from pavas_core.sampling.generate import NEGATIVE_PROMPT, generate
from pavas_core.sampling.physics import encode_physics
from pavas_core.sampling.vocode import vocode
from pavas_core.synthesis.engine import pan

if TYPE_CHECKING:
    from pavas_core.models.sound_model import Features, SoundModel
    from pavas_core.physics.types import Body, Scene, TrackSet
    from pavas_core.video.clip import Clip

SEEDS_APART = 1000
"""Stem k begins at seed + k times this, so that the noise of stems is not the same and does not add up in phase."""


@dataclass(frozen=True)
class StemFeatures:
    """What a network sees of every object alone (the PAVAS_STEMS wire), computed once and used again by every edit."""

    features: tuple[Features, ...]
    """One an object; each has exactly one entry in ``objects``."""
    times_s: np.ndarray
    """float64 [L] times of :attr:`places`."""
    places: dict[str, np.ndarray]
    """float64 [L] by object id: where it is across the picture, 0 left to 1 right."""


def encode_stems(model: SoundModel, clip: Clip, tracks: TrackSet, *, runtime: Runtime) -> StemFeatures:
    """Look at every tracked object alone: the others and the camera stand still (masked visual and sync features).

    Raises PhysicsError where nothing is tracked.
    """
    from pavas_core.video.alone import objects_alone
    from pavas_core.video.cuts import find_cuts

    if not tracks.tracks:
        raise PhysicsError("Nothing is tracked in this clip, so there are no stems: use Encode Video and the Sampler.")
    cuts_s = find_cuts(clip, runtime=runtime)
    seen, places = [], {}
    for track, (name, alone) in zip(tracks.tracks, objects_alone(clip, tracks, cuts_s, runtime=runtime), strict=True):
        features = model.encode_video(alone, replace(tracks, tracks=(track,)), runtime=runtime)
        seen.append(replace(features, duration_s=clip.duration_s, cuts_s=cuts_s))
        known = np.flatnonzero(np.isfinite(track.centroids[:, 0]))
        across = track.centroids[known, 0] / tracks.width if known.size else np.array([0.5])
        at_s = tracks.times_s[known] if known.size else tracks.times_s[:1]
        places[name] = np.interp(tracks.times_s, at_s, across)
    return StemFeatures(tuple(seen), np.asarray(tracks.times_s, dtype=float), places)


def sample_stems(
    model: SoundModel,
    stems: StemFeatures,
    scene: Scene | None = None,
    *,
    prompt: str = "",
    negative_prompt: str = NEGATIVE_PROMPT,
    seed: int = 0,
    steps: int = 25,
    cfg_strength: float = 4.5,
    physics_strength: float = 1.0,
    takes: int = 1,
    stereo: bool = False,
    output_gain_db: float = 0.0,
    runtime: Runtime,
) -> list[dict[str, Audio]]:
    """Per take the sounds by object id, all as long as the clip; what they add up to is the mix.

    With a model that has a Phy-Adapter, each sound hears its object's mass, speed and impacts alone; an impact of two
    objects belongs to the one it is listed for. ``stereo`` places each where it is seen. Raises PhysicsError for
    objects of the scene that were not encoded.
    """
    sounds: list[dict[str, Audio]] = [{} for _ in range(takes)]
    for index, (name, features, alone) in enumerate(_pairs(stems, scene)):
        physics = None
        if model.adapter is not None and alone is not None:
            physics = encode_physics(model, features, alone, runtime=runtime)
        latent = generate(
            model, features, physics, prompt=prompt, negative_prompt=negative_prompt, seed=seed + SEEDS_APART * index,
            steps=steps, cfg_strength=cfg_strength, physics_strength=physics_strength, takes=takes, runtime=runtime,
        )  # fmt: skip
        made = vocode(model, latent, features.duration_s, output_gain_db=output_gain_db, runtime=runtime)
        for take, sound in zip(sounds, made, strict=True):
            place = stems.places[features.objects[0].object_id]
            take[name] = placed(sound, stems.times_s, place) if stereo else sound
    return sounds


def alone_in(scene: Scene, body: Body) -> Scene:
    """The scene with one body and the impacts listed for it."""
    impacts = tuple(one for one in scene.impacts if one.object_id == body.object.id)
    return replace(scene, bodies=(body,), impacts=impacts, tracks=None)


def placed(sound: Audio, times_s: np.ndarray, places: np.ndarray) -> Audio:
    """A mono sound in stereo, following its object across the picture with constant power."""
    samples = sound.waveform.mean(axis=0)
    moments = np.arange(samples.size) / sound.sample_rate
    both = np.stack([np.interp(moments, times_s, gain) for gain in pan(places, 2)])
    return Audio((both * samples).astype(np.float32), sound.sample_rate)


def _pairs(stems: StemFeatures, scene: Scene | None) -> list[tuple[str, Features, Scene | None]]:
    """(name, features, scene of it alone) of every object."""
    by_id = {features.objects[0].object_id: features for features in stems.features}
    if scene is None:
        return [(name, features, None) for name, features in by_id.items()]
    found: list[tuple[str, Features, Scene | None]] = []
    for body in scene.bodies:
        known = next((name for name in (body.object.id, *body.object.aliases) if name in by_id), None)
        if known is None:
            raise PhysicsError(
                f"{body.object.id} was not encoded: connect the same tracks to Encode Stems and Combine Physics."
            )
        found.append((body.object.id, by_id[known], alone_in(scene, body)))
    return found
