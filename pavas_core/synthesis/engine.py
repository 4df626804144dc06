"""Contacts to sound: every impact of a scene as the vibration of what met, heard in a room, and what rolls or slides.

One impact's sound depends on that impact, its two partners and the seed alone, and a stem is the plain sum of its
contacts. So removing or changing one impact leaves every other sample bit for bit as it was. Nothing is normalised: one
gain turns pascals at one metre into full scale for every scene.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np

from pavas_core.audio import Audio, linear_gain
from pavas_core.errors import PavasError, PhysicsError
from pavas_core.physics.lasting import LastingContact, find_lasting_contacts
from pavas_core.physics.types import Body, Impact, Scene
from pavas_core.runtime import Runtime

from .lasting import lasting_sound
from .materials import MATERIALS, Material, words_to_material
from .render import band_energy, burst_energy, dry_sound
from .room import Room, add_echoes, add_tail, find_room, room_tone, steady_tail, tail_bank
from .voices import Voice, generator, impact_voices

FULL_SCALE_PA = 28.3
"""Sound pressure at 1 m that is 0 dBFS: 0.5 kg of unknown stuff at 2 m/s onto concrete peaks at -12 dBFS."""
ROOM_TONE_DB = -74.0
"""A quiet room's level, for those who ask for room tone; by default there is silence between impacts."""
ROOM_STEM = "room"
_AUDIBLE_PA = FULL_SCALE_PA * 10.0 ** (-105.0 / 20.0)

_log = logging.getLogger("pavas")


@dataclass(frozen=True)
class Synthesis:
    """The sound of a scene. Samples may exceed 1: limiting is the writer's work."""

    mix: Audio
    stems: dict[str, Audio]
    """By object id, and ``room`` where room tone was asked for; their sum is the mix."""


@dataclass(frozen=True)
class _Blow:
    """A voice waiting to be rendered."""

    voice: Voice
    impact: Impact
    start: int
    """First sample after the contact."""
    rng: np.random.Generator


@dataclass(frozen=True)
class _Stem:
    """One object's sound while it is made, added to in place."""

    heard: np.ndarray
    """float32 [channels, T]."""
    direct: np.ndarray
    """float32 [T], without the room."""
    room: str
    sample_rate: int


def synthesize_impacts(
    scene: Scene,
    *,
    sample_rate: int = 48000,
    channels: int = 2,
    seed: int = 0,
    room: str = "small",
    floor: str = "unknown",
    output_gain_db: float = 0.0,
    room_tone_db: float | None = None,
    runtime: Runtime | None = None,
) -> Synthesis:
    """The sound of all impacts of ``scene`` that fall within its duration, and of what rolls or slides by its action.

    ``floor`` says what an ``unknown`` surface is: a material key or words like ``wooden floor``. ``room`` is ``dry``,
    ``small`` or ``large``. ``room_tone_db`` is a faint noise in the stem ``room`` (None: silence).
    ``seed`` varies strike positions, textures and the grain of floors, never the physics. Raises PavasError for an
    impossible setting and PhysicsError for an impact that lacks its object or a number.
    """
    if channels not in (1, 2):
        raise PavasError(f"The modal engine makes 1 or 2 channels, not {channels}; choose mono or stereo.")
    if not 4000 <= sample_rate <= 384000:
        raise PavasError(f"A sample rate of {sample_rate} Hz is out of range; choose 4000 to 384000 Hz.")
    acoustics = find_room(room)
    runtime = runtime or Runtime()
    samples = max(0, round(scene.duration_s * sample_rate))
    ground = _surface(floor)
    bodies = {body.object.id: body for body in scene.bodies}
    impacts = sorted(scene.impacts, key=lambda impact: (impact.time_s, impact.id))
    gain = linear_gain(output_gain_db)
    blows: dict[str, list[_Blow]] = {key: [] for key in bodies}
    for impact in impacts:
        _check(impact, bodies)
        start = math.ceil(impact.time_s * sample_rate - 1e-9)
        if 0 <= start < samples and impact.impulse_ns > 0.0:
            rng = generator(seed, impact.id)
            for voice in impact_voices(impact, bodies, ground, seed, rng):
                blows[voice.stem].append(_Blow(voice, impact, start, rng))

    lasting = find_lasting_contacts(scene)
    done, total = 0, sum(map(len, blows.values())) + len(lasting)
    stems = {}
    for key, heard_from in blows.items():
        # One object at a time, in single precision: long clips have hundreds of megabytes a stem.
        stem = _Stem(np.zeros((channels, samples), np.float32), np.zeros(samples, np.float32), room, sample_rate)
        for blow in heard_from:
            runtime.step("sound", done, total)
            done += 1
            _add_blow(stem, blow, gain / FULL_SCALE_PA)
        for contact in (one for one in lasting if one.object_id == key):
            runtime.step("sound", done, total)
            done += 1
            _add_lasting(stem, contact, bodies, ground, seed, gain / FULL_SCALE_PA)
        add_echoes(stem.heard, stem.direct, acoustics, sample_rate)
        stems[key] = stem.heard
    runtime.step("sound", total, total)

    if room_tone_db is not None:
        level_db = room_tone_db + output_gain_db
        stems[ROOM_STEM] = room_tone(samples, sample_rate, channels, level_db, generator(seed, "room"))
    mix = np.zeros((channels, samples), np.float32)
    for wave in stems.values():
        mix += wave
    return Synthesis(Audio(mix, sample_rate), {key: Audio(wave, sample_rate) for key, wave in stems.items()})


def _add_blow(stem: _Stem, blow: _Blow, scale: float) -> None:
    """Add one impact's sound, ``scale`` per pascal, to a stem in place."""
    samples, rate = stem.direct.size, stem.sample_rate
    offset = max(0.0, blow.start / rate - blow.impact.time_s)
    dry = scale * dry_sound(blow.voice, offset, rate, samples - blow.start, _AUDIBLE_PA, blow.rng)
    span = slice(blow.start, blow.start + dry.size)
    stem.direct[span] += dry
    stem.heard[:, span] += pan(blow.impact.position[0], len(stem.heard))[:, None] * dry
    acoustics = find_room(stem.room)
    if acoustics.t60_s > 0.0:
        levels = scale * _tail_levels(blow.voice, acoustics, rate)
        add_tail(stem.heard[:, blow.start :], levels, tail_bank(stem.room, rate))


def _add_lasting(
    stem: _Stem, contact: LastingContact, bodies: dict[str, Body], ground: Material, seed: int, scale: float
) -> None:
    """Add the sound of rolling or sliding, ``scale`` per pascal, to a stem in place."""
    from scipy.signal import oaconvolve

    samples, rate = stem.direct.size, stem.sample_rate
    start, dry = lasting_sound(contact, bodies, ground, seed, rate, samples, _AUDIBLE_PA)
    if not dry.size:
        return
    dry *= scale
    span = slice(start, start + dry.size)
    stem.direct[span] += dry
    places = np.interp((start + np.arange(dry.size)) / rate, contact.times_s, contact.across)
    stem.heard[:, span] += pan(places, len(stem.heard)) * dry
    for channel, tail in zip(stem.heard, steady_tail(stem.room, rate), strict=False):
        channel[start:] += oaconvolve(dry, tail)[: samples - start]


def _check(impact: Impact, bodies: dict) -> None:
    """Raise PhysicsError for an impact that cannot be made sound."""
    if impact.object_id not in bodies:
        raise PhysicsError(
            f"Impact '{impact.id}' belongs to object '{impact.object_id}', which the scene does not have; "
            "remove the impact or name one of the scene's objects."
        )
    if not math.isfinite(impact.time_s + impact.impulse_ns + impact.pre_normal_mps):
        raise PhysicsError(f"Impact '{impact.id}' has a time, impulse or speed that is not a number; correct it.")


def _tail_levels(voice: Voice, room: Room, sample_rate: int) -> np.ndarray:
    """Level [bands] of the reverberation that a voice leaves in the room, for tails of unit energy."""
    energy = band_energy(voice.modes, room, sample_rate)
    energy += burst_energy(voice.click_pa**2 * voice.click_s / 2, 0.3 / voice.click_s, 2.0 / voice.click_s)
    noise = (voice.noise_pa / 3.0) ** 2 * voice.texture.duration_s / 2
    energy += burst_energy(noise, voice.texture.low_hz, voice.texture.high_hz)
    return np.sqrt(energy * sample_rate * 10.0 ** (room.tail_db / 10.0))


def _surface(floor: str) -> Material:
    """Material of the surroundings from a key or words."""
    key = floor if floor in MATERIALS else words_to_material(floor)
    if key is None:
        _log.warning("No known material in '%s'; surfaces sound neutral.", floor)
    return MATERIALS[key or "unknown"]


def pan(position: float | np.ndarray, channels: int) -> np.ndarray:
    """Gain per channel [channels, ...] for horizontal places in the picture (0 left .. 1 right): constant power, half
    the width."""
    if channels == 1:
        return np.ones((1, *np.shape(position)))
    angle = math.pi / 4 * (0.5 + np.clip(position, 0.0, 1.0))
    return math.sqrt(2.0) * np.array([np.cos(angle), np.sin(angle)])
