"""How two things touch: Hertz contact time, the force pulse's spectrum, and soft and inflated contacts."""

from __future__ import annotations

import math

import numpy as np

from .materials import Material


def effective_modulus_pa(first: Material, second: Material) -> float:
    """Contact modulus E* of two materials (Johnson, *Contact Mechanics*, eq. 4.22), pascals."""
    return 1.0 / ((1.0 - first.poisson**2) / first.transverse_pa + (1.0 - second.poisson**2) / second.transverse_pa)


def hertz_contact_time_s(mass_kg: float, radius_m: float, modulus_pa: float, speed_mps: float) -> float:
    """Duration of an elastic Hertz impact, seconds.

    ``tau = 2.87 (m^2 / (R E*^2 v))^(1/5)`` (Johnson, *Contact Mechanics*, eq. 11.24), with the reduced mass, reduced
    radius and contact modulus.
    """
    return 2.87 * (mass_kg**2 / (radius_m * modulus_pa**2 * max(speed_mps, 1e-6))) ** 0.2


def hertz_patch_m(load_n: float, radius_m: float, modulus_pa: float) -> float:
    """Radius of the patch that a pressed contact flattens (Johnson, *Contact Mechanics*, eq. 4.22), metres."""
    return (0.75 * load_n * radius_m / modulus_pa) ** (1 / 3)


def inflated_patch_m(load_n: float, pressure_pa: float) -> float:
    """Radius of the patch on which an inflated ball's own air carries a load, metres."""
    return math.sqrt(load_n / (math.pi * pressure_pa))


def patch_gain(frequency_hz: np.ndarray, patch_s: float) -> np.ndarray:
    """How much of the roughness of each frequency is left when it passes under a patch of this radius over speed.

    ``(1 + pi/4 (k a)^3)^(-1/2)``, Remington's contact filter (Thompson, *Railway Noise and Vibration* (2009), section
    5.4).
    """
    return (1.0 + math.pi / 4 * (2.0 * math.pi * frequency_hz * patch_s) ** 3) ** -0.5


def wall_contact_time_s(mass_kg: float, radius_m: float, wall_m: float, material: Material) -> float:
    """Half a period of a hollow body on its own wall, seconds.

    A spherical shell yields to a point load with ``k = 4 E h^2 / (a sqrt(3 (1 - nu^2)))`` (Reissner 1946; Young &
    Budynas, *Roark's Formulas*, table 13.3), which makes a table-tennis ball touch for 0.7 ms.
    """
    stiffness = 4 * material.transverse_pa * wall_m**2 / (radius_m * math.sqrt(3 * (1 - material.poisson**2)))
    return math.pi * math.sqrt(mass_kg / stiffness)


def inflated_contact_time_s(mass_kg: float, radius_m: float, pressure_pa: float) -> float:
    """Half a period of an inflated ball on its own air, seconds: the flattened patch carries ``F = 2 pi a p x``."""
    return math.pi * math.sqrt(mass_kg / (2.0 * math.pi * radius_m * pressure_pa))


def pulse_gain(frequency_hz: np.ndarray, contact_time_s: float) -> np.ndarray:
    """How strongly a contact of this duration drives each frequency, relative to an instantaneous blow of its impulse.

    Smooth envelope of the spectrum of the Hertz force pulse, close to ``sin(pi t/tau)^(3/2)``: -3 dB at 0.67/tau,
    then falling with the power -5/2. Real contacts are too rough for the pulse's exact spectral zeros.
    """
    return (1.0 + (frequency_hz * contact_time_s / 0.72) ** 4) ** -0.625
