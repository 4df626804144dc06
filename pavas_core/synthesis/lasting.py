"""The sound of what rolls or slides: a rain of small impacts, one for each roughness that it goes over.

Rolling and scraping noise is the response of both bodies to the roughness that passes through their contact, so its
tempo, loudness and brightness go with the speed (van den Doel, Kry & Pai, "FoleyAutomatic", SIGGRAPH 2001). A push
sounds as an impact of its impulse does; of what rolls, the patch on which it rests averages out what is shorter than
itself (Thompson, *Railway Noise and Vibration* (2009), chapter 5). Pushes grow with the square root of the speed, so
sliding gains 20 dB with ten times the speed (14 to 19 measured by Ben Abdelounis et al., Wear 268 (2010)) and rolling
30 and more with what the patch lets through (about 30 of wheels, Thompson, chapter 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from pavas_core.physics.lasting import LastingContact, Manner
from pavas_core.physics.types import GRAVITY_MPS2, Body, Impact

from .contact import effective_modulus_pa, hertz_patch_m, inflated_patch_m, patch_gain
from .materials import Material
from .render import dry_sound
from .shapes import BALL_PRESSURE_PA
from .voices import Voice, body_material, body_shape, contact_texture, generator, impact_voices


@dataclass(frozen=True)
class _Roughness:
    """What a body meets on its way. No handbook has it, as none has textures: this is judgement."""

    spacing_m: float
    """Way from one push to the next, on average."""
    push: float
    """Speed that a push gives at 1 m/s along the surface, m/s, for a texture of level 1."""


_ROUGHNESS: dict[Manner, _Roughness] = {"rolls": _Roughness(0.004, 1.5), "slides": _Roughness(0.001, 0.12)}
_WOBBLE = 0.3
"""Of the loudness, once a turn: nothing that rolls is quite round."""


def lasting_sound(
    contact: LastingContact,
    bodies: dict[str, Body],
    ground: Material,
    seed: int,
    sample_rate: int,
    samples: int,
    floor_pa: float,
) -> tuple[int, np.ndarray]:
    """First sample and pressure [T] at 1 m without a room; what is fainter than ``floor_pa`` is left out.

    T ends with the clip of ``samples``. The pushes lie irregularly on the way, so their tempo follows the speed. One
    push is rendered for every doubling of the speed, and those between two sound as both in part.
    """
    from scipy.signal import oaconvolve

    body = bodies[contact.object_id]
    rng = generator(seed, f"{contact.object_id} {contact.manner} {contact.times_s[0]:.3f}")
    first = max(0, math.ceil(contact.times_s[0] * sample_rate))
    last = min(samples - 1, math.floor(contact.times_s[-1] * sample_rate))
    time = np.arange(first, last + 1) / sample_rate
    speed = np.interp(time, contact.times_s, contact.speed_mps)
    at = _pushes(speed / sample_rate, _ROUGHNESS[contact.manner].spacing_m, rng)
    if not at.size:
        return first, np.zeros(0)
    heights, whole = rng.rayleigh(math.sqrt(0.5), at.size), at.astype(int)
    if contact.manner == "rolls":
        turned = np.cumsum(speed)[whole] / sample_rate / body_shape(body).radius_m
        heights *= 1.0 + _WOBBLE * np.cos(turned + rng.uniform(0.0, 2 * math.pi))
    octave = np.log2(speed[whole])
    sound = np.zeros(samples - first)
    for step in range(math.floor(octave.min()), math.ceil(octave.max()) + 1):
        share = np.clip(1.0 - np.abs(octave - step), 0.0, None)
        push = _push(contact, bodies, ground, seed, 2.0**step, sample_rate, sound.size, floor_pa)
        train = np.zeros(len(speed) + 1)
        np.add.at(train, whole, heights * share * (1.0 - at % 1.0))
        np.add.at(train, whole + 1, heights * share * (at % 1.0))
        heard = oaconvolve(train, push)[: sound.size]
        sound[: heard.size] += heard
    return first, sound


def _pushes(steps_m: np.ndarray, spacing_m: float, rng: np.random.Generator) -> np.ndarray:
    """When roughnesses are met, in samples and parts of them: ``steps_m`` [T] is the way from sample to sample."""
    way = np.cumsum(steps_m)
    # Three standard deviations more than lie on the way on average.
    expected = way[-1] / spacing_m if way.size else 0.0
    places = np.cumsum(rng.exponential(spacing_m, math.ceil(expected + 3.0 * math.sqrt(expected) + 10)))
    return np.interp(places[places < way[-1]], way, np.arange(way.size)) if way.size else np.zeros(0)


def _push(
    contact: LastingContact,
    bodies: dict[str, Body],
    ground: Material,
    seed: int,
    speed_mps: float,
    sample_rate: int,
    max_samples: int,
    floor_pa: float,
) -> np.ndarray:
    """The sound [T] of one push at this speed along the surface."""
    body = bodies[contact.object_id]
    texture = contact_texture(body_material(body), ground)
    push_mps = _ROUGHNESS[contact.manner].push * texture.level * math.sqrt(speed_mps)
    push = Impact(
        id=f"{contact.object_id} {contact.manner}",
        time_s=float(contact.times_s[0]),
        object_id=contact.object_id,
        partner=None,
        surface=ground.key,
        contact="landing",
        normal=(0.0, -1.0, 0.0),
        pre_normal_mps=push_mps,
        post_normal_mps=0.0,
        pre_speed_mps=push_mps,
        post_speed_mps=0.0,
        impulse_ns=body.mass.mass_kg * push_mps,
        energy_loss_j=0.0,
    )
    rng = generator(seed, push.id)
    # A grain that makes noise up to the texture's upper end at 2 m/s.
    grain_s = 0.72 / texture.high_hz * (2.0 / speed_mps) ** 0.2
    (voice,) = impact_voices(push, bodies, ground, seed, rng, grain_s)
    if contact.manner == "rolls":
        voice = _averaged(voice, _patch_m(body, ground) / speed_mps)
    return dry_sound(voice, 0.0, sample_rate, max_samples, floor_pa, rng)


def _averaged(voice: Voice, patch_s: float) -> Voice:
    """A push of what passes under a patch: each frequency as far as its wave is not averaged out there."""
    middle_hz = math.sqrt(voice.texture.low_hz * voice.texture.high_hz)
    ringing, jolt, rub = (
        patch_gain(np.asarray(f), patch_s) for f in (voice.modes.frequency_hz, 1 / voice.click_s, middle_hz)
    )
    return replace(
        voice,
        modes=voice.modes.scaled(ringing),
        click_pa=voice.click_pa * float(jolt),
        noise_pa=voice.noise_pa * float(rub),
    )


def _patch_m(body: Body, ground: Material) -> float:
    """Radius of the patch on which a body rests, metres."""
    shape, load_n = body_shape(body), body.mass.mass_kg * GRAVITY_MPS2
    patch_m = hertz_patch_m(load_n, shape.tip_radius_m, effective_modulus_pa(body_material(body), ground))
    return math.hypot(patch_m, inflated_patch_m(load_n, BALL_PRESSURE_PA)) if shape.family == "ball" else patch_m
