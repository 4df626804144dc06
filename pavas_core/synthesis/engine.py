"""Impacts to sound: every contact of a scene as the vibration of what met, heard in a room.

One impact's sound depends on that impact, its two partners and the seed alone, and a stem is the plain sum of its
impacts. So removing or changing one impact leaves every other sample bit for bit as it was. Nothing is normalised: one
gain turns pascals at one metre into full scale for every scene.
"""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass

import numpy as np

from pavas_core.audio import Audio
from pavas_core.errors import PavasError, PhysicsError
from pavas_core.physics.types import Body, Impact, Scene
from pavas_core.runtime import Runtime

from .contact import (
    effective_modulus_pa,
    hertz_contact_time_s,
    inflated_contact_time_s,
    pulse_gain,
    wall_contact_time_s,
)
from .materials import MATERIALS, Material, Texture, words_to_material
from .modes import (
    AIR_DENSITY_KG_M3,
    AIR_IMPEDANCE,
    SURFACE_BANDS,
    Modes,
    body_modes,
    join,
    strike_weights,
    surface_modes,
)
from .render import band_energy, burst_energy, click, place, sinusoids, texture_noise
from .room import Room, find_room, room_tone, tail_bank
from .shapes import BALL_PRESSURE_PA, SOUND_SPEED_MPS, Shape, make_shape

FULL_SCALE_PA = 28.0
"""Sound pressure at 1 m that is 0 dBFS: 0.5 kg of unknown stuff at 2 m/s onto concrete peaks at -12 dBFS."""
ROOM_TONE_DB = -74.0
ROOM_STEM = "room"
_AUDIBLE_PA = FULL_SCALE_PA * 10.0 ** (-110.0 / 20.0)

_SUPPORT_PER_S = {"bounce": 2.0, "strike": 60.0, "collision": 3.0, "landing": 12.0, "catch": 80.0}
"""Damping of the moving body by what holds it: free in a bounce, at rest on the ground after a landing, in a hand."""
_STRUCK_MASS_KG = 10.0
"""A struck thing that is not tracked: a board, rail or pane of this mass, whatever the tool weighs."""
_STRUCK_SUPPORT_PER_S = 8.0
_TOOL_RINGING = 0.15
"""A hand damps and shields the tool: its own modes are heard this much below their free level."""
_STRUCK_SPREADING = 0.5
"""Share of a strike that the struck thing passes on to what it stands on."""

_log = logging.getLogger("pavas")


@dataclass(frozen=True)
class Synthesis:
    """The sound of a scene. Samples may exceed 1: limiting is the writer's work."""

    mix: Audio
    stems: dict[str, Audio]
    """By object id, and ``room`` for the room tone; their sum is the mix."""


@dataclass(frozen=True)
class _Voice:
    """What one body contributes to one impact."""

    stem: str
    modes: Modes
    click_pa: float
    click_s: float


def synthesize_impacts(
    scene: Scene,
    *,
    sample_rate: int = 48000,
    channels: int = 2,
    seed: int = 0,
    room: str = "small",
    floor: str = "unknown",
    output_gain_db: float = 0.0,
    room_tone_db: float | None = ROOM_TONE_DB,
    runtime: Runtime | None = None,
) -> Synthesis:
    """The sound of all impacts of ``scene``.

    ``floor`` says what an ``unknown`` surface is: a material key or words like ``wooden floor``. ``room``
    is ``dry``, ``small`` or ``large``. ``room_tone_db`` is the level of the faint noise in the stem ``room`` (None: silence).
    ``seed`` varies strike positions, textures and the grain of floors, never the physics. Raises PavasError for an
    impossible setting and PhysicsError for an impact of an object that the scene lacks.
    """
    if channels not in (1, 2):
        raise PavasError(f"The modal engine makes 1 or 2 channels, not {channels}; choose mono or stereo.")
    if not 4000 <= sample_rate <= 384000:
        raise PavasError(f"A sample rate of {sample_rate} Hz is out of range; choose 4000 to 384000 Hz.")
    runtime = runtime or Runtime()
    acoustics = find_room(room)
    ground = _surface(floor)
    bodies = {body.object.id: body for body in scene.bodies}
    samples = max(0, round(scene.duration_s * sample_rate))
    sums = {body.object.id: np.zeros((channels, samples)) for body in scene.bodies}
    impacts = sorted(scene.impacts, key=lambda impact: (impact.time_s, impact.id))
    for index, impact in enumerate(impacts):
        runtime.step("sound", index, len(impacts))
        if impact.object_id not in bodies:
            raise PhysicsError(
                f"Impact '{impact.id}' belongs to object '{impact.object_id}', which the scene does not have; "
                "remove the impact or name one of the scene's objects."
            )
        if not math.isfinite(impact.time_s + impact.impulse_ns + impact.pre_normal_mps):
            raise PhysicsError(f"Impact '{impact.id}' has a time, impulse or speed that is not a number; correct it.")
        for stem, start, sound in _impact_sound(
            impact, bodies, ground, acoustics, room, sample_rate, channels, seed, samples
        ):
            sums[stem][:, start : start + sound.shape[1]] += sound
    gain = 10.0 ** (output_gain_db / 20.0)
    stems = {key: (gain / FULL_SCALE_PA * wave).astype(np.float32) for key, wave in sums.items()}
    tone = np.zeros((channels, samples))
    if room_tone_db is not None:
        tone = room_tone(samples, sample_rate, channels, room_tone_db, _generator(seed, "room"))
    stems[ROOM_STEM] = (gain * tone).astype(np.float32)
    mix = np.zeros((channels, samples), np.float32)
    for wave in stems.values():
        mix += wave
    runtime.step("sound", len(impacts), len(impacts))
    return Synthesis(Audio(mix, sample_rate), {key: Audio(wave, sample_rate) for key, wave in stems.items()})


def _impact_sound(
    impact: Impact,
    bodies: dict[str, Body],
    ground: Material,
    acoustics: Room,
    room: str,
    sample_rate: int,
    channels: int,
    seed: int,
    samples: int,
) -> list[tuple[str, int, np.ndarray]]:
    """Stem, first sample and pressure [channels, T] of each body that one impact makes sound."""
    start = math.ceil(impact.time_s * sample_rate - 1e-9)
    room_left = samples - start
    if start < 0 or room_left <= 0 or impact.impulse_ns <= 0.0:
        return []
    offset = max(0.0, start / sample_rate - impact.time_s)
    rng = _generator(seed, impact.id)
    body = bodies[impact.object_id]
    material = body_material(body)
    shape = _body_shape(body, material)
    partner = bodies.get(impact.partner) if impact.partner else None
    surface = MATERIALS.get(impact.surface, ground) if impact.surface != "unknown" else ground
    other = body_material(partner) if partner else surface
    other_shape = _body_shape(partner, other) if partner else None
    contact_s = _contact_time_s(impact, body, material, shape, partner, other, other_shape)

    voices = [_body_voice(impact, body, shape, contact_s, seed, rng)]
    if partner and other_shape:
        voices.append(_body_voice(impact, partner, other_shape, contact_s, seed, rng))
    else:
        voices[0] = _with_surface(voices[0], impact, surface, contact_s, seed, rng)
    texture = max(material.texture, other.texture, key=lambda one: one.level)
    noise_pa = texture.level * AIR_IMPEDANCE * impact.impulse_ns / body.mass.mass_kg * shape.radius_m
    gains = _pan(impact.position[0], channels)
    sounds = []
    for voice in voices:
        noise = noise_pa if voice.stem == impact.object_id else 0.0
        wave = _voice_wave(
            voice, noise, texture, contact_s, gains, acoustics, room, offset, sample_rate, room_left, rng
        )
        sounds.append((voice.stem, start, wave))
    return sounds


def _body_voice(
    impact: Impact, body: Body, shape: Shape, contact_s: float, seed: int, rng: np.random.Generator
) -> _Voice:
    """A body's ringing and jolt."""
    own = _generator(seed, body.object.id)
    detune = 1.0 + 0.012 * own.standard_normal(shape.frequencies_hz.size)
    spot = own.uniform(0.0, 0.5) + 0.04 * rng.standard_normal()
    velocity = impact.impulse_ns / body.mass.mass_kg
    held = impact.contact == "strike" and body.object.id == impact.object_id
    ringing = _TOOL_RINGING if held else 1.0
    support = _SUPPORT_PER_S[impact.contact] if body.object.id == impact.object_id else _STRUCK_SUPPORT_PER_S
    free = body_modes(shape, ringing * velocity, strike_weights(shape.frequencies_hz.size, spot), support)
    driven = free.pressure_pa * pulse_gain(free.frequency_hz, contact_s)
    modes = Modes(free.frequency_hz * detune, free.decay_per_s, driven)
    # Jolt of a rigid sphere: p = rho0 a^3 / (2 c r) da/dt (Koss & Alfredson, J. Sound Vib. 27 (1973)), for a force of
    # one raised cosine; the sphere cannot sound faster than sound crosses it.
    click_s = max(contact_s, 2.0 * shape.radius_m / SOUND_SPEED_MPS)
    jolt = AIR_DENSITY_KG_M3 * shape.radius_m**3 / (2 * SOUND_SPEED_MPS) * velocity * 2 * math.pi / click_s**2
    return _Voice(body.object.id, modes, jolt, click_s)


def _with_surface(
    voice: _Voice, impact: Impact, surface: Material, contact_s: float, seed: int, rng: np.random.Generator
) -> _Voice:
    """``voice`` with the surroundings that were hit: a wide surface, for a strike a thing with its own pitch."""
    own = _generator(seed, f"surface {surface.key}")
    dense = surface_modes(surface, impact.impulse_ns, own)
    uneven = 1.0 + 0.15 * rng.standard_normal(SURFACE_BANDS)
    spreading = _STRUCK_SPREADING if impact.contact == "strike" else 1.0
    dense = dense.scaled(spreading * uneven * pulse_gain(dense.frequency_hz, contact_s))
    parts = [voice.modes, dense]
    if impact.contact == "strike" and not surface.covering:
        struck = make_shape("bar" if surface.metal else "plate", _STRUCK_MASS_KG, surface)
        spot = own.uniform(0.0, 0.5) + 0.04 * rng.standard_normal()
        weights = strike_weights(struck.frequencies_hz.size, spot) * pulse_gain(struck.frequencies_hz, contact_s)
        parts.append(body_modes(struck, impact.impulse_ns / _STRUCK_MASS_KG, weights, _STRUCK_SUPPORT_PER_S))
    return _Voice(voice.stem, join(parts), voice.click_pa, voice.click_s)


def _voice_wave(
    voice: _Voice,
    noise_pa: float,
    texture: Texture,
    contact_s: float,
    gains: np.ndarray,
    acoustics: Room,
    room: str,
    offset_s: float,
    sample_rate: int,
    max_samples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Pressure [channels, T] of a voice in the room."""
    parts = [
        sinusoids(voice.modes, contact_s, offset_s, sample_rate, max_samples, _AUDIBLE_PA),
        click(voice.click_pa, voice.click_s, offset_s, sample_rate, max_samples),
    ]
    if noise_pa > 0.0:
        parts.append(
            texture_noise(noise_pa, texture, min(contact_s, texture.duration_s / 4), offset_s, sample_rate, rng)
        )
    dry = np.zeros(min(max(part.size for part in parts), max_samples))
    for part in parts:
        heard = part[: dry.size]
        dry[: heard.size] += heard
    wet = place(dry, gains, acoustics, sample_rate, max_samples)
    if acoustics.t60_s <= 0.0:
        return wet
    bank = tail_bank(room, sample_rate)
    energy = band_energy(voice.modes, acoustics, sample_rate)
    energy += burst_energy(voice.click_pa**2 * voice.click_s / 2, 0.3 / voice.click_s, 2.0 / voice.click_s)
    energy += burst_energy((noise_pa / 3.0) ** 2 * texture.duration_s / 2, texture.low_hz, texture.high_hz)
    levels = np.sqrt(energy * sample_rate * 10.0 ** (acoustics.tail_db / 10.0))
    length = min(bank.shape[2], max_samples)
    tail = np.tensordot(levels.astype(np.float32), bank[:, : gains.size, :length], 1)
    if wet.shape[1] < length:
        wet = np.pad(wet, ((0, 0), (0, length - wet.shape[1])))
    wet[:, :length] += tail
    return wet


def _contact_time_s(
    impact: Impact,
    body: Body,
    material: Material,
    shape: Shape,
    partner: Body | None,
    other: Material,
    other_shape: Shape | None,
) -> float:
    """How long the two touch, seconds."""
    mass, radius = body.mass.mass_kg, shape.tip_radius_m
    if partner and other_shape:
        mass = 1.0 / (1.0 / mass + 1.0 / partner.mass.mass_kg)
        radius = 1.0 / (1.0 / radius + 1.0 / other_shape.tip_radius_m)
    # Springs in series: the squares of the contact times add up.
    yields = [hertz_contact_time_s(mass, radius, effective_modulus_pa(material, other), impact.pre_normal_mps)]
    for one, stuff in ((shape, material), (other_shape, other)):
        if one and one.family == "ball":
            yields.append(inflated_contact_time_s(mass, one.radius_m, BALL_PRESSURE_PA))
        elif one and one.wall_m:
            yields.append(wall_contact_time_s(mass, one.radius_m, one.wall_m, stuff))
    return math.hypot(*yields)


def body_material(body: Body) -> Material:
    """What a body is made of: its own material, else what its name says, else the neutral default."""
    key = body.object.material
    if key not in MATERIALS or key == "unknown":
        key = words_to_material(" ".join([body.object.name, *body.object.aliases])) or "unknown"
    return MATERIALS[key]


def _body_shape(body: Body, material: Material) -> Shape:
    return make_shape(" ".join([body.object.name, *body.object.aliases]), body.mass.mass_kg, material)


def _surface(floor: str) -> Material:
    """Material of the surroundings from a key or words."""
    key = floor if floor in MATERIALS else words_to_material(floor)
    if key is None:
        _log.warning("No known material in '%s'; surfaces sound neutral.", floor)
    return MATERIALS[key or "unknown"]


def _pan(position: float, channels: int) -> np.ndarray:
    """Gain per channel for a horizontal place in the picture (0 left .. 1 right): constant power, half the width."""
    if channels == 1:
        return np.ones(1)
    angle = math.pi / 4 * (1.0 + (min(max(position, 0.0), 1.0) - 0.5))
    return math.sqrt(2.0) * np.array([math.cos(angle), math.sin(angle)])


def _generator(seed: int, name: str) -> np.random.Generator:
    """Random draws that belong to one thing of the scene, whatever else is in it."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
