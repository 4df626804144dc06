"""Modes in air: how loudly each resonance of a body or surface sounds after a blow, and how it dies away."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .materials import MATERIALS, Material
from .shapes import SOUND_SPEED_MPS, Shape

AIR_IMPEDANCE = 413.0
"""rho0 c of air at 20 degrees C, Pa s/m."""
AIR_DENSITY_KG_M3 = 1.204
SURFACE_BANDS = 40


@dataclass(frozen=True)
class Modes:
    """Damped sinusoids as heard at 1 m; all arrays float64 [modes]."""

    frequency_hz: np.ndarray
    decay_per_s: np.ndarray
    pressure_pa: np.ndarray
    """Signed starting amplitude."""

    def scaled(self, gain: float | np.ndarray) -> Modes:
        """The same modes, ``gain`` times as loud."""
        return Modes(self.frequency_hz, self.decay_per_s, self.pressure_pa * gain)


def radiation(frequency_hz: np.ndarray, shape: Shape) -> np.ndarray:
    """Pressure radiation factor of a vibrating body: unity above ka = 1, below it falling with ka (a closed body, which
    pumps air as a whole) or its square (any other, whose front and back cancel); sheets fall below their critical
    frequency too."""
    ka = 2 * math.pi * frequency_hz * shape.radius_m / SOUND_SPEED_MPS
    factor = ka / np.sqrt(1.0 + ka**2) if shape.closed else ka**2 / (1.0 + ka**2)
    return factor / np.sqrt(1.0 + (shape.critical_hz / frequency_hz) ** 2)


def body_modes(shape: Shape, velocity_mps: float, weights: np.ndarray, support_per_s: float) -> Modes:
    """Modes of a body whose rigid motion was changed by ``velocity_mps`` (impulse over mass).

    ``weights`` [modes] is the mode shape where it was struck (rms about 1). A mode moving at ``v`` on a body of radius
    ``a`` sounds with ``rho0 c v a sqrt(sigma)`` at 1 m (radiated power ``rho0 c S v^2 sigma`` spread over a sphere).
    ``support_per_s`` is the damping by whatever holds the body, added to ``pi f eta`` of the material.
    """
    frequency = shape.frequencies_hz
    velocity = shape.coupling * velocity_mps * weights
    pressure = AIR_IMPEDANCE * shape.radius_m * velocity * radiation(frequency, shape)
    return Modes(frequency, support_per_s + math.pi * frequency * shape.loss_factors, pressure)


def surface_modes(material: Material, impulse_ns: float, rng: np.random.Generator) -> Modes:
    """Response of a floor, wall or table of this material to a blow, in bands of its dense modes.

    A plate of thickness ``h`` has ``sqrt(3) S / (h c_L)`` modes per hertz of mass ``rho h S`` (Fahy & Gardonio, *Sound
    and Structural Vibration*, section 1.12): in the radiated sound the area cancels. It radiates fully above its
    critical frequency ``c^2 / (1.8 h c_L)``. Damping is internal plus that of the edges, ``0.5 / sqrt(f)`` (EN 12354-1,
    annex C). ``rng`` places the bands' frequencies, so one seed is one floor.
    """
    if material.covering:
        material = MATERIALS["unknown"]
    edges = np.geomspace(45.0, 11000.0, SURFACE_BANDS + 1)
    frequency = edges[:-1] * (edges[1:] / edges[:-1]) ** rng.uniform(0.1, 0.9, SURFACE_BANDS)
    wave_speed = math.sqrt(material.youngs_pa / material.density_kg_m3 / (1 - material.poisson**2))
    thickness = material.thickness_m
    critical = SOUND_SPEED_MPS**2 / (1.8 * thickness * wave_speed)
    efficiency = 1.0 / (1.0 + (critical / frequency) ** 2)
    modes_m2 = math.sqrt(3) * np.diff(edges) / (thickness * wave_speed)
    surface_density = material.density_kg_m3 * thickness
    pressure = AIR_IMPEDANCE * impulse_ns / surface_density * np.sqrt(modes_m2 * efficiency / (4 * math.pi))
    loss = material.loss_factor + 0.5 / np.sqrt(frequency)
    signs = rng.choice([-1.0, 1.0], SURFACE_BANDS)
    return Modes(frequency, math.pi * frequency * loss, pressure * signs)


def strike_weights(count: int, spot: float) -> np.ndarray:
    """Mode shapes of a free edge-driven body at ``spot`` (0 = its end, 0.5 = its middle) [count], rms about 1.

    Cosines are the modes of a free rod; a node silences its mode, which is why things sound different where struck.
    """
    order = np.arange(1, count + 1)
    return math.sqrt(2.0) * np.cos(math.pi * order * spot)


def join(parts: list[Modes]) -> Modes:
    """All modes of ``parts`` together."""
    return Modes(
        np.concatenate([part.frequency_hz for part in parts]),
        np.concatenate([part.decay_per_s for part in parts]),
        np.concatenate([part.pressure_pa for part in parts]),
    )
