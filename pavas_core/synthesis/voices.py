"""The physics of one impact: what rings, jolts and rubs, and how hard."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

from pavas_core.physics.types import Body, Impact

from .contact import (
    effective_modulus_pa,
    hertz_contact_time_s,
    inflated_contact_time_s,
    pulse_gain,
    wall_contact_time_s,
)
from .materials import LOOSE_S, MATERIALS, Material, Texture, words_to_material
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
from .shapes import BALL_PRESSURE_PA, SOUND_SPEED_MPS, Shape, make_shape

_SUPPORT_PER_S = {"bounce": 2.0, "strike": 60.0, "collision": 3.0, "landing": 12.0, "catch": 80.0}
"""Damping of the moving body by what holds it: free in a bounce, at rest on the ground after a landing, in a hand."""
_STRUCK_MASS_KG = 10.0
"""A struck thing that is not tracked: a board, rail or pane of this mass, whatever the tool weighs."""
_STRUCK_SUPPORT_PER_S = 6.0
_STRUCK_SPREADING = 0.5
"""Share of a strike that the struck thing passes on to what it stands on."""
_TOOL_RINGING = 0.15
"""A hand damps and shields the tool: it is heard this much below its free level."""
_TEXTURE_SPEED_MPS = 2.0
"""Approach speed for which the materials' textures are given."""
_SPOT_SPREAD = 0.04
"""Scatter of the strike position from impact to impact, in lengths of the body."""


@dataclass(frozen=True)
class Voice:
    """What one body contributes to one impact, as heard at 1 m."""

    stem: str
    modes: Modes
    """Already shaped by the contact's force pulse."""
    contact_s: float
    click_pa: float
    click_s: float
    """Amplitude and length of the body's jolt, one cycle of a sine."""
    noise_pa: float
    texture: Texture


def impact_voices(
    impact: Impact,
    bodies: dict[str, Body],
    ground: Material,
    seed: int,
    rng: np.random.Generator,
    contact_s: float | None = None,
) -> list[Voice]:
    """Voices of the two that met; a surface sounds with the body that hit it. ``ground`` is what ``unknown`` means.

    ``contact_s`` is how long they touch, seconds (None: as long as whole bodies of their stiffness do).
    """
    body, partner, surface = _what_met(impact, bodies, ground)
    material, shape = body_material(body), body_shape(body)
    other = body_material(partner) if partner else surface
    contact_s = contact_s or contact_time_s(impact, body, partner, surface)
    texture = contact_texture(material, other)
    # Asperities are little Hertz contacts: their times shorten with v^(1/5), so faster rubs are brighter and harsher.
    haste = (max(_closing_mps(impact), 1e-6) / _TEXTURE_SPEED_MPS) ** 0.2
    texture = replace(texture, high_hz=haste * texture.high_hz, level=haste * texture.level)
    noise_pa = texture.level * AIR_IMPEDANCE * impact.impulse_ns / body.mass.mass_kg * shape.radius_m

    impact = replace(impact, impulse_ns=shape.share * impact.impulse_ns)
    own = _body_voice(impact, body, contact_s, noise_pa, texture, seed, rng)
    if partner:
        return [own, _body_voice(impact, partner, contact_s, 0.0, texture, seed, rng)]
    return [replace(own, modes=join([own.modes, _surroundings(impact, surface, contact_s, seed, rng)]))]


def _body_voice(
    impact: Impact,
    body: Body,
    contact_s: float,
    noise_pa: float,
    texture: Texture,
    seed: int,
    rng: np.random.Generator,
) -> Voice:
    """A body's ringing and jolt."""
    shape = body_shape(body)
    own = generator(seed, body.object.id)
    detune = 1.0 + 0.012 * own.standard_normal(shape.frequencies_hz.size)
    spot = own.uniform(0.0, 0.5) + _SPOT_SPREAD * rng.standard_normal()
    jolt_mps = _jolt_mps(impact, body, shape)
    driven = _driven_modes(impact, body, shape, contact_s, strike_weights(shape.frequencies_hz.size, spot))
    # Jolt of a rigid sphere: p = rho0 a^3 / (2 c r) da/dt (Koss & Alfredson, J. Sound Vib. 27 (1973)), for a force of
    # one raised cosine; the sphere cannot sound faster than sound crosses it.
    click_s = max(contact_s, 2.0 * shape.radius_m / SOUND_SPEED_MPS)
    click_pa = AIR_DENSITY_KG_M3 * shape.radius_m**3 / (2 * SOUND_SPEED_MPS) * jolt_mps * 2 * math.pi / click_s**2
    modes = replace(driven, frequency_hz=driven.frequency_hz * detune)
    return Voice(body.object.id, modes, contact_s, click_pa, click_s, noise_pa, texture)


def expected_ringing(impact: Impact, bodies: dict[str, Body], ground: Material) -> tuple[Modes, float]:
    """Modes of the two that met in an impact, as they are on average over strike positions and bodies of a kind, and
    the length of the contact in seconds. ``ground`` is what ``unknown`` means; a wide surface has no modes to tell."""
    body, partner, surface = _what_met(impact, bodies, ground)
    contact_s = contact_time_s(impact, body, partner, surface)
    impact = replace(impact, impulse_ns=body_shape(body).share * impact.impulse_ns)
    shapes = [(one, body_shape(one)) for one in (body, partner) if one]
    driven = [_driven_modes(impact, one, shape, contact_s, np.ones(shape.frequencies_hz.size)) for one, shape in shapes]
    if _strikes_thing(impact, surface) and not partner:
        driven.append(_struck_modes(impact, surface, contact_s))
    return join(driven), contact_s


def _what_met(impact: Impact, bodies: dict[str, Body], ground: Material) -> tuple[Body, Body | None, Material]:
    """The body, its tracked partner if it has one, and the material of what was hit."""
    partner = bodies.get(impact.partner) if impact.partner else None
    surface = MATERIALS.get(impact.surface, ground) if impact.surface != "unknown" else ground
    return bodies[impact.object_id], partner, surface


def _jolt_mps(impact: Impact, body: Body, shape: Shape) -> float:
    """Change of a body's velocity, as far as it is heard."""
    struck_with = body.object.id == impact.object_id and impact.contact == "strike"
    return (_TOOL_RINGING if struck_with else 1.0) * impact.impulse_ns / (shape.share * body.mass.mass_kg)


def _driven_modes(impact: Impact, body: Body, shape: Shape, contact_s: float, weights: np.ndarray) -> Modes:
    """A body's modes shaped by the contact's force pulse; ``weights`` are the mode shapes where it was struck."""
    support = _SUPPORT_PER_S[impact.contact if body.object.id == impact.object_id else "collision"]
    free = body_modes(shape, _jolt_mps(impact, body, shape), weights, support)
    return free.scaled(pulse_gain(free.frequency_hz, contact_s))


def _surroundings(impact: Impact, surface: Material, contact_s: float, seed: int, rng: np.random.Generator) -> Modes:
    """What was hit but is not tracked: a wide surface, and for a strike a thing with its own pitch."""
    own = generator(seed, f"surface {surface.key}")
    dense = surface_modes(surface, impact.impulse_ns, own)
    uneven = 1.0 + 0.15 * rng.standard_normal(SURFACE_BANDS)
    spot = own.uniform(0.0, 0.5) + _SPOT_SPREAD * rng.standard_normal()
    dense = dense.scaled(uneven * pulse_gain(dense.frequency_hz, contact_s))
    if not _strikes_thing(impact, surface):
        return dense
    ringing = _struck_modes(impact, surface, contact_s)
    return join([dense.scaled(_STRUCK_SPREADING), ringing.scaled(strike_weights(ringing.frequency_hz.size, spot))])


def _strikes_thing(impact: Impact, surface: Material) -> bool:
    return impact.contact == "strike" and not surface.covering


def _struck_modes(impact: Impact, surface: Material, contact_s: float) -> Modes:
    """A struck thing that is not tracked, made of ``surface``."""
    struck = make_shape("bar" if surface.metal else "plate", _STRUCK_MASS_KG, surface)
    weights = pulse_gain(struck.frequencies_hz, contact_s)
    return body_modes(struck, impact.impulse_ns / _STRUCK_MASS_KG, weights, _STRUCK_SUPPORT_PER_S)


def contact_texture(first: Material, second: Material) -> Texture:
    """What rubs: loose stuff if either is (it crumbles or rustles), else the softer, which wraps the other's grit."""
    longest = max(first.texture, second.texture, key=lambda one: one.duration_s)
    softer = min(first, second, key=lambda one: one.transverse_pa)
    return longest if longest.duration_s >= LOOSE_S else softer.texture


def contact_time_s(impact: Impact, body: Body, partner: Body | None, surface: Material) -> float:
    """How long the two touch, seconds. Springs in series: the squares of the contact times add up."""
    shape, material = body_shape(body), body_material(body)
    mass, radius, other = shape.share * body.mass.mass_kg, shape.tip_radius_m, surface
    hollow = [(shape, material)]
    if partner:
        other_shape, other = body_shape(partner), body_material(partner)
        mass = 1.0 / (1.0 / mass + 1.0 / (other_shape.share * partner.mass.mass_kg))
        radius = 1.0 / (1.0 / radius + 1.0 / other_shape.tip_radius_m)
        hollow.append((other_shape, other))
    times = [hertz_contact_time_s(mass, radius, effective_modulus_pa(material, other), _closing_mps(impact))]
    for one, stuff in hollow:
        if one.family == "ball":
            times.append(inflated_contact_time_s(mass, one.radius_m, BALL_PRESSURE_PA))
        elif one.wall_m:
            times.append(wall_contact_time_s(mass, one.radius_m, one.wall_m, stuff))
    return math.hypot(*times)


def _closing_mps(impact: Impact) -> float:
    """How fast the two came together, m/s: nothing parts faster than it met, so what pushes a body comes itself."""
    return max(impact.pre_normal_mps, (impact.pre_normal_mps + impact.post_normal_mps) / 2)


def body_material(body: Body) -> Material:
    """What a body is made of: its own material, else what its name says, else the neutral default."""
    key = body.object.material
    if key not in MATERIALS or key == "unknown":
        key = words_to_material(_words(body)) or "unknown"
    return MATERIALS[key]


def body_shape(body: Body) -> Shape:
    """Size and resonances of a body from its name, mass and material."""
    return make_shape(_words(body), body.mass.mass_kg, body_material(body))


def _words(body: Body) -> str:
    return " ".join([body.object.name, *body.object.aliases])


def generator(seed: int, name: str) -> np.random.Generator:
    """Random draws that belong to one thing of the scene, whatever else is in it."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
