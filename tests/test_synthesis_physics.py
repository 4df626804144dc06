"""The modal engine's formulas against textbook values."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import jn_zeros, spherical_jn

from pavas_core.synthesis.contact import (
    effective_modulus_pa,
    hertz_contact_time_s,
    inflated_contact_time_s,
    pulse_gain,
    wall_contact_time_s,
)
from pavas_core.synthesis.materials import MATERIALS
from pavas_core.synthesis.modes import body_modes, surface_modes
from pavas_core.synthesis.shapes import (
    BALL_PRESSURE_PA,
    FAMILIES,
    SOLID_ROOTS,
    bar,
    block,
    box,
    cup,
    drum,
    make_shape,
    plate,
    shape_family,
    shell,
    sphere,
)


def hertz_impact(mass, radius, modulus, speed):
    """Contact time and force history of m x'' = -(4/3) E* sqrt(R) x^(3/2), integrated numerically."""
    stiffness = 4 / 3 * modulus * math.sqrt(radius)

    def motion(_, state):
        return [state[1], -stiffness / mass * max(state[0], 0.0) ** 1.5]

    def parted(time, state):
        return state[0] if time > 0 else 1.0

    parted.terminal, parted.direction = True, -1
    scale = (mass**2 / (radius * modulus**2 * speed)) ** 0.2
    run = solve_ivp(motion, (0, 10 * scale), [0.0, speed], events=parted, rtol=1e-10, atol=1e-14, max_step=scale / 300)
    return run.t[-1], run.t, stiffness * np.maximum(run.y[0], 0.0) ** 1.5


@pytest.mark.parametrize(
    ("mass", "radius", "modulus", "speed"), [(0.5, 0.025, 2.7e10, 2.0), (0.01, 0.01, 1e9, 0.3), (60.0, 0.1, 5e5, 4.0)]
)
def test_contact_time_is_that_of_the_integrated_hertz_impact(mass, radius, modulus, speed):
    expected, _, _ = hertz_impact(mass, radius, modulus, speed)
    assert hertz_contact_time_s(mass, radius, modulus, speed) == pytest.approx(expected, rel=0.005)


def test_contact_low_pass_follows_the_hertz_force_spectrum():
    """Within 1.5 dB below the pulse's first spectral zero, and at its side lobes' tops beyond."""
    tau, time, force = hertz_impact(0.5, 0.025, 2.7e10, 2.0)
    grid = np.linspace(0, tau, 4001)
    pulse = np.interp(grid, time, force)
    pulse /= pulse.sum()

    def spectrum(frequency):
        return abs(np.sum(pulse * np.exp(-2j * np.pi * frequency * grid)))

    for cycles in (0.2, 0.4, 0.6, 0.8, 1.0):
        gain = pulse_gain(np.array([cycles / tau]), tau)[0]
        assert 20 * math.log10(gain / spectrum(cycles / tau)) == pytest.approx(0.0, abs=1.5)
    for lobe in (2.2, 3.2, 5.2):
        top = max(spectrum(cycles / tau) for cycles in np.linspace(lobe - 0.5, lobe + 0.5, 41))
        gain = pulse_gain(np.array([lobe / tau]), tau)[0]
        assert 20 * math.log10(gain / top) == pytest.approx(0.0, abs=6.0)


def test_contact_shortens_with_speed_and_lengthens_with_softness():
    assert hertz_contact_time_s(1, 0.05, 1e9, 8.0) / hertz_contact_time_s(1, 0.05, 1e9, 4.0) == pytest.approx(2**-0.2)
    rubber, steel, concrete = (MATERIALS[key] for key in ("rubber", "steel", "concrete"))
    assert effective_modulus_pa(rubber, concrete) < effective_modulus_pa(steel, concrete) / 1000


def test_sports_balls_touch_as_long_as_measured():
    """Basketball 10 to 16 ms, table-tennis ball 0.5 to 1 ms (Cross, Am. J. Phys. 67 (1999))."""
    assert 0.010 <= inflated_contact_time_s(0.6, 0.12, BALL_PRESSURE_PA) <= 0.016
    assert 5e-4 <= wall_contact_time_s(0.0027, 0.02, 0.0004, MATERIALS["plastic"]) <= 1e-3


def test_free_bar_overtones():
    """1 : 2.756 : 5.404 : 8.933 (Fletcher & Rossing, table 2.1)."""
    ratios = bar(0.5, MATERIALS["steel"]).frequencies_hz
    assert ratios[:4] / ratios[0] == pytest.approx([1.0, 2.756, 5.404, 8.933], rel=2e-3)


def test_steel_bar_pitch():
    """f1 = 1.028 (h / L^2) sqrt(E / rho) for a free rectangular bar."""
    steel = MATERIALS["steel"]
    mass = 7850 * 0.3 * 0.015**2
    assert bar(mass, steel).frequencies_hz[0] == pytest.approx(
        1.028 * 0.015 / 0.3**2 * math.sqrt(210e9 / 7850), rel=2e-3
    )


def test_free_square_plate_overtones():
    """1 : 1.455 : 1.802 : 2.584 : 2.584 : 4.536 (Leissa, table 4.72)."""
    modes = plate(1.0, MATERIALS["aluminium"]).frequencies_hz
    assert modes[:6] / modes[0] == pytest.approx([1.0, 1.455, 1.802, 2.584, 2.584, 4.536], rel=2e-3)


def test_ring_modes_of_a_glass():
    """Rayleigh's ring: m (m^2 - 1) / sqrt(m^2 + 1), so 1 : 2.828 : 5.423 : 8.771."""
    modes = cup(0.2, MATERIALS["glass"]).frequencies_hz
    assert modes[:4] / modes[0] == pytest.approx([1.0, 2.828, 5.423, 8.771], rel=1e-3)


def test_panels_of_a_box():
    """Simply supported square panel: m^2 + n^2, so 1 : 2.5 : 2.5 : 4 : 5 (Fletcher & Rossing, eq. 3.19)."""
    modes = box(1.0, MATERIALS["wood"]).frequencies_hz
    assert modes[:5] / modes[0] == pytest.approx([1.0, 2.5, 2.5, 4.0, 5.0])


def test_drum_overtones():
    """1 : 1.594 : 2.136 : 2.296 : 2.653, roots of the Bessel functions (Fletcher & Rossing, fig. 3.6)."""
    modes = drum(3.0, MATERIALS["wood"]).frequencies_hz
    roots = sorted(
        [*jn_zeros(0, 3), *jn_zeros(1, 2), *jn_zeros(2, 2), *jn_zeros(3, 1), *jn_zeros(4, 1), *jn_zeros(5, 1)]
    )
    assert modes[:5] / modes[0] == pytest.approx([1.0, 1.594, 2.136, 2.296, 2.653], rel=1e-3)
    assert modes[:9] / modes[0] == pytest.approx(np.array(roots[:9]) / roots[0], rel=1e-3)


def test_thin_shell_membrane_modes():
    """omega a sqrt(rho / E) = 0.7346, 0.8361, 0.8818 for nu = 0.3 (roots of Lamb's membrane equation)."""
    material = MATERIALS["aluminium"]
    shape = shell(0.1, material)
    omega = shape.frequencies_hz * 2 * math.pi * shape.radius_m * math.sqrt(material.density_kg_m3 / material.youngs_pa)
    nu = material.poisson
    for order, value in zip((2, 3, 4), omega[:3], strict=True):
        degree = order * (order + 1)
        squared = value**2 * (1 - nu**2)
        assert squared**2 - (degree + 1 + 3 * nu) * squared + (degree - 2) * (1 - nu**2) == pytest.approx(0.0, abs=1e-9)
        assert 0.7 < value < 0.95


def test_basketball_air_rings_near_a_kilohertz():
    """Rigid spherical cavity: the first root of j1' is 2.0816, 947 Hz at 0.12 m radius (Russell 2010)."""
    root = brentq(lambda x: spherical_jn(1, x, derivative=True), 1.0, 3.0)
    modes = make_shape("basketball", 0.6, MATERIALS["rubber"]).frequencies_hz
    assert root * 343.0 / (2 * math.pi * 0.12) == pytest.approx(modes[6], rel=1e-3)
    assert 900 < modes[6] < 1000


def test_solid_sphere_breathing_mode():
    """Radial mode of a sphere with nu = 1/4: tan(y)/y = 1/(1 - 3 y^2 / 4), y = k_p a (Love, section 194)."""
    radial = brentq(lambda y: math.tan(y) / y - 1 / (1 - 0.75 * y**2), 2.0, 3.0)
    assert SOLID_ROOTS[3] == pytest.approx(radial * math.sqrt(3.0), rel=2e-3)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_pitch_falls_with_the_cube_root_of_mass(family):
    material = MATERIALS["plastic"]
    light, heavy = FAMILIES[family](0.1, material), FAMILIES[family](2.7, material)
    assert light.frequencies_hz / heavy.frequencies_hz == pytest.approx(np.full(light.frequencies_hz.size, 3.0))
    assert heavy.radius_m == pytest.approx(3 * light.radius_m)


def test_contact_low_pass_is_the_same_for_a_scaled_body():
    """tau ~ m^(1/3) at equal speed, so f tau does not change and neither does the timbre."""
    steel = MATERIALS["steel"]
    small, large = sphere(0.1, steel), sphere(2.7, steel)
    ratio = hertz_contact_time_s(2.7, large.tip_radius_m, 1e11, 2.0) / hertz_contact_time_s(
        0.1, small.tip_radius_m, 1e11, 2.0
    )
    assert ratio == pytest.approx(3.0)


def test_modes_decay_by_the_loss_factor():
    """T60 = 2.2 / (f eta) (Cremer, Heckl & Petersson), so steel outlasts glass, glass wood, wood plastic and rubber."""
    t60 = {}
    for key in ("steel", "glass", "wood", "plastic", "rubber"):
        modes = body_modes(block(0.5, MATERIALS[key]), 1.0, np.ones(8), 0.0)
        assert 3 * math.log(10) / modes.decay_per_s * modes.frequency_hz == pytest.approx(
            2.2 / MATERIALS[key].loss_factor, rel=0.01
        )
        t60[key] = 2.2 / (1000 * MATERIALS[key].loss_factor)
    assert sorted(t60, key=t60.get, reverse=True) == ["steel", "glass", "wood", "plastic", "rubber"]


def test_floor_rings_the_same_whatever_hits_it_and_in_proportion():
    light = surface_modes(MATERIALS["wood"], 1.0, np.random.default_rng(3))
    heavy = surface_modes(MATERIALS["wood"], 10.0, np.random.default_rng(3))
    assert np.array_equal(light.frequency_hz, heavy.frequency_hz)
    assert heavy.pressure_pa == pytest.approx(10 * light.pressure_pa)


def test_floor_takes_up_as_much_as_an_infinite_plate():
    """A point on a plate has the mobility Y = 1 / (8 sqrt(B m'')) of an infinite one (Cremer, Heckl & Petersson)."""
    concrete = MATERIALS["concrete"]
    modes = surface_modes(concrete, 1.0, np.random.default_rng(0))
    band = (modes.frequency_hz > 1000) & (modes.frequency_hz < 8000)
    # n modes a hertz of mass M, each set to J / M, are the plate's mobility: n / M = 4 Y.
    rigidity = concrete.youngs_pa * concrete.thickness_m**3 / 12 / (1 - concrete.poisson**2)
    surface_density = concrete.density_kg_m3 * concrete.thickness_m
    mobility = 1 / (8 * math.sqrt(rigidity * surface_density))
    edges = np.geomspace(45.0, 11000.0, modes.frequency_hz.size + 1)
    expected = 413.0**2 * 4 * mobility * np.diff(edges) / (4 * math.pi * surface_density)
    assert modes.pressure_pa[band] ** 2 == pytest.approx(expected[band], rel=0.05)


@pytest.mark.parametrize(
    ("name", "material", "family"),
    [
        ("basketball", "rubber", "ball"),
        ("ball", "steel", "sphere"),
        ("ball", "plastic", "shell"),
        ("ball", "unknown", "ball"),
        ("bowling ball", "plastic", "sphere"),
        ("wine glasses", "glass", "cup"),
        ("glass ball", "glass", "sphere"),
        ("tin box", "steel", "box"),
        ("steel rod", "steel", "bar"),
        ("wooden crate", "wood", "box"),
        ("frying pan", "iron", "plate"),
        ("djembe", "wood", "drum"),
        ("two children", "flesh", "person"),
        ("object 1", "unknown", "block"),
        ("object 1", "steel", "bar"),
        ("object 1", "glass", "cup"),
        ("steel block", "steel", "block"),
    ],
)
def test_shape_by_name(name, material, family):
    assert shape_family(name, MATERIALS[material]) == family
