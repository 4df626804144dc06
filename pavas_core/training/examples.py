"""Training examples: one simulated scene as it is seen, and several sounds of it under other physics.

The sound of every variant is rendered by the modal engine from the very numbers that the adapter receives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pavas_core.models.nano_facts import impact_facts
from pavas_core.models.nano_text import Thing
from pavas_core.models.nano_visual import look, see
from pavas_core.physics.resample import impact_times_s, speed_at
from pavas_core.physics.types import Impact, Scene, TrackSet
from pavas_core.simulation.simulate import SimulatedClip, counterfactual, simulate
from pavas_core.training.faults import with_faults
from pavas_core.training.tracked import see_through_tracker

WINDOW_S = 4.096
SAMPLE_RATE = 16000
ROOM_TONE_DB = -74.0
FIRST_SEED = 1000
"""Seeds from here to ``simulation.simulate.EVALUATION_SEED`` are for training."""
VARIANTS = 6
MASS_FACTORS = (0.1, 10.0)
SPEED_FACTORS = (0.25, 4.0)
FRAME_RATES = (12.0, 15.0, 24.0, 25.0, 30.0, 50.0)
SIZES = ((128, 72), (128, 72), (128, 96), (96, 96))
TRACKED_EVERY = 3
"""Of so many seeds one is seen through the shipped tracker, larger; the others have true tracks with faults put on."""
TRACKED_SCALE = 2.5
_STUFF = ("wood", "steel", "aluminium", "glass", "ceramic", "stone", "concrete", "brick", "plastic", "rubber",
          "leather", "cardboard", "foam", "ice", "bamboo", "iron", "brass")  # fmt: skip
_GROUND = ("wood", "concrete", "stone", "ceramic", "grass", "asphalt", "fabric", "soil", "plastic", "steel", "sand")


@dataclass(frozen=True)
class Variant:
    """One physics of a scene."""

    scene: Scene
    surface: str
    edited: bool
    """Its impacts are not those of the pictures."""
    restuffed: bool
    """Its materials are not those of the pictures."""


def through_tracker(seed: int) -> bool:
    """Whether the scene of a training seed is seen through the shipped tracker."""
    return seed % TRACKED_EVERY == 2


def training_clip(seed: int) -> SimulatedClip:
    """The scene of a training seed, small, as long as the network's window."""
    rng = np.random.default_rng([seed, 11])
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    rate = float(rng.choice(FRAME_RATES, p=(0.08, 0.12, 0.22, 0.24, 0.28, 0.06)))
    if through_tracker(seed):
        width, height = (int(TRACKED_SCALE * side) for side in (width, height))
    return simulate(
        seed, width=width, height=height, frame_rate=rate, duration_s=WINDOW_S, mask_long_side=max(width, height)
    )


def draw_variants(sim: SimulatedClip, rng: np.random.Generator, count: int = VARIANTS) -> list[Variant]:
    """The scene as it is, then with other masses, speeds, materials and impacts."""
    floor = sim.played.stage.floor_material
    variants = [Variant(sim.scene, floor, False, False)]
    while len(variants) < count:
        masses = {body.object.id: _factor(rng, MASS_FACTORS) for body in sim.scene.bodies if rng.random() < 0.75}
        changed = counterfactual(sim, masses, _factor(rng, SPEED_FACTORS) if rng.random() < 0.7 else 1.0)
        scene, surface, restuffed = changed.scene, floor, False
        if rng.random() < 0.45:
            scene, surface = _restuffed(scene, floor, rng)
            restuffed = True
        edited = bool(scene.impacts) and rng.random() < 0.4
        if edited:
            scene = _edited(scene, rng)
        variants.append(Variant(scene, surface, edited, restuffed))
    return variants


def _factor(rng: np.random.Generator, span: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(span))))


def _restuffed(scene: Scene, floor: str, rng: np.random.Generator) -> tuple[Scene, str]:
    """Other materials, of things and of the ground."""
    bodies = tuple(
        replace(body, object=replace(body.object, material=str(rng.choice(_STUFF)))) if rng.random() < 0.7 else body
        for body in scene.bodies
    )
    surface = str(rng.choice(_GROUND)) if rng.random() < 0.7 else floor
    impacts = tuple(
        replace(one, surface=surface) if one.partner is None and one.surface == floor else one for one in scene.impacts
    )
    return replace(scene, bodies=bodies, impacts=impacts), surface


def _edited(scene: Scene, rng: np.random.Generator) -> Scene:
    """One to three impacts removed, moved or added."""
    impacts = list(scene.impacts)
    for number in range(int(rng.integers(1, 4))):
        kind = rng.random()
        if not impacts:
            break
        at = int(rng.integers(len(impacts)))
        if kind < 0.35:
            impacts.pop(at)
        elif kind < 0.6:
            impacts[at] = replace(impacts[at], time_s=float(rng.uniform(0.05, WINDOW_S - 0.1)))
        else:
            impacts.append(_added(impacts[at], number, rng))
    return replace(scene, impacts=tuple(sorted(impacts, key=lambda one: one.time_s)))


def _added(like: Impact, number: int, rng: np.random.Generator) -> Impact:
    k = _factor(rng, (0.3, 2.0))
    return replace(
        like,
        id=f"{like.id}-added-{number}",
        time_s=float(rng.uniform(0.05, WINDOW_S - 0.1)),
        pre_normal_mps=like.pre_normal_mps * k,
        post_normal_mps=like.post_normal_mps * k,
        impulse_ns=like.impulse_ns * k,
        energy_loss_j=like.energy_loss_j * k * k,
    )


def true_sound(scene: Scene, surface: str, seed: int) -> np.ndarray:
    """The modal engine's sound of a scene in a small room with room tone, float32 [T] at 16 kHz; never limited."""
    from pavas_core.synthesis.engine import synthesize_impacts

    made = synthesize_impacts(
        scene, sample_rate=SAMPLE_RATE, channels=1, seed=seed, floor=surface, room_tone_db=ROOM_TONE_DB
    )
    return made.mix.waveform[0]


def things_of(scene: Scene) -> list[Thing]:
    """Material and family of every body, as its sound is made."""
    from pavas_core.synthesis.voices import body_material, body_shape

    return [Thing(body_material(body).key, body_shape(body).family) for body in scene.bodies]


def _speeds(scene: Scene, object_id: str, times_s: np.ndarray) -> np.ndarray:
    velocity = next(body.velocity for body in scene.bodies if body.object.id == object_id)
    return speed_at(velocity, times_s, impact_times_s(scene, object_id))


def example(seed: int, encode: Any) -> dict[str, Any]:
    """Everything of one training seed: what is seen, and per variant its latent and the physics that made it.

    ``encode`` maps float32 [V, T] waveforms to latents [V, L, C]. Arrays are numpy; times are latent tokens.
    """
    sim = training_clip(seed)
    rng = np.random.default_rng([seed, 12])
    tracks = sim.scene.tracks
    assert tracks is not None
    if through_tracker(seed):
        measured, pictures = see_through_tracker(sim)
    else:
        measured = with_faults(tracks, rng) if rng.random() < 0.7 else tracks
        pictures = look(sim.frames(), list(tracks.times_s), measured)
    sight = see(measured, pictures, WINDOW_S)
    variants = draw_variants(sim, rng)
    samples = round(WINDOW_S * SAMPLE_RATE)
    sounds = np.zeros((len(variants), samples), np.float32)
    for row, variant in zip(sounds, variants, strict=True):
        sound = true_sound(variant.scene, variant.surface, int(rng.integers(1 << 30)))[:samples]
        row[: len(sound)] = sound
    return {
        "seed": seed,
        "kind": sim.kind,
        "sync": sight.sync.astype(np.float16),
        "clip": sight.clip.astype(np.float16),
        "objects": sight.objects.astype(np.float16),
        "present": sight.present,
        "variants": [
            {"latent": latent, **physics_of(variant, measured, sight.frame_times_s)}
            for variant, latent in zip(variants, encode(sounds), strict=True)
        ],
    }


def physics_of(variant: Variant, tracks: TrackSet, frame_times_s: np.ndarray) -> dict[str, Any]:
    """The adapter's numbers and the prompt of a variant; bodies in the order of the tracks."""
    scene = variant.scene
    ids: Sequence[str] = [body.object.id for body in scene.bodies]
    kilograms = {body.object.id: body.mass.mass_kg for body in scene.bodies}
    mass, speed = [], []
    for track in tracks.tracks:
        if track.object_id in ids:
            mass.append(kilograms[track.object_id])
            speed.append(_speeds(scene, track.object_id, frame_times_s))
        else:
            mass.append(np.nan)
            speed.append(np.full(len(frame_times_s), np.nan, np.float32))
    return {
        "mass_kg": np.array(mass, np.float32),
        "speed_mps": np.array(speed, np.float32).reshape(len(mass), len(frame_times_s)),
        "impact_s": np.array([one.time_s for one in scene.impacts], np.float32),
        "facts": impact_facts(scene),
        "impulse_ns": np.array([one.impulse_ns for one in scene.impacts], np.float32),
        "things": [(thing.material, thing.family) for thing in things_of(scene)],
        "surface": variant.surface,
        "edited": variant.edited,
        "restuffed": variant.restuffed,
    }
