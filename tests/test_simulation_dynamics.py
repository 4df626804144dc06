"""The simulator's mechanics against closed-form results."""

import math

import numpy as np
import pytest

from pavas_core.physics.types import GRAVITY_MPS2
from pavas_core.simulation.catalogue import MASS_RANGE_KG, draw_body, make_body, restitution
from pavas_core.simulation.driven import Path, follow_through, go, hold
from pavas_core.simulation.dynamics import Solid, World
from pavas_core.simulation.outline import convex_gap, place
from pavas_core.synthesis.materials import MATERIALS

FLOOR = {"plane": (0.0, -1.0), "y": 2.0}


def ball(x=0.0, y=0.0, radius=0.1, mass=1.0, **motion):
    inertia = 0.4 * mass * radius**2
    return Solid("ball", "wood", radius=radius, inverse_mass=1 / mass, inverse_inertia=1 / inertia, x=x, y=y, **motion)


def world(*solids, e=0.8, mu=0.0):
    return World(solids, lambda a, b: (e, mu), (-50.0, 50.0, 50.0))


def test_dropped_ball_bounces_at_the_exact_times():
    e, fall = 0.8, 2.0 - 0.1 - 0.5
    w = world(ball(y=0.5), Solid("floor", "wood", **FLOOR), e=e)
    w.run(2.6)
    first = math.sqrt(2 * fall / GRAVITY_MPS2)
    speed = GRAVITY_MPS2 * first
    expected = [first, first + 2 * e * speed / GRAVITY_MPS2]
    expected.append(expected[1] + 2 * e**2 * speed / GRAVITY_MPS2)
    assert [m.time_s for m in w.meetings[:3]] == pytest.approx(expected, abs=1e-6)
    assert [m.approach_mps for m in w.meetings[:3]] == pytest.approx([speed, e * speed, e**2 * speed], rel=1e-6)
    assert w.meetings[0].impulse_ns == pytest.approx((1 + e) * speed, rel=1e-6)


def test_flight_is_a_parabola():
    w = world(ball(y=1.0, vx=2.0, vy=-3.0, release_s=0.25))
    w.run(1.0)
    knots = np.array(w.knots[id(w.movers[0])])
    held = knots[:, 0] < 0.2499
    assert np.all(knots[held, 1:] == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    t = knots[~held, 0] - 0.25
    assert knots[~held, 1] == pytest.approx(2.0 * t, abs=1e-9)
    assert knots[~held, 2] == pytest.approx(1.0 - 3.0 * t + 0.5 * GRAVITY_MPS2 * t**2, abs=1e-9)


@pytest.mark.parametrize(("light", "heavy", "e"), [(0.1, 5.0, 0.9), (1.0, 1.0, 1.0), (2.0, 0.3, 0.2)])
def test_collision_keeps_momentum_and_loses_the_right_energy(light, heavy, e):
    a, b = ball(x=-1.0, mass=light, vx=3.0), ball(x=1.0, mass=heavy, vx=-2.0)
    w = world(a, b, e=e)
    w.run(0.6)
    (hit,) = w.meetings
    before = light * np.array(hit.first_pre) + heavy * np.array(hit.second_pre)
    after = light * np.array(hit.first_post) + heavy * np.array(hit.second_post)
    assert after == pytest.approx(before, abs=1e-9)
    assert hit.time_s == pytest.approx(1.8 / 5.0, abs=1e-6)
    reduced = light * heavy / (light + heavy)

    def kinetic(va, vb):
        return 0.5 * light * np.dot(va, va) + 0.5 * heavy * np.dot(vb, vb)

    lost = kinetic(hit.first_pre, hit.second_pre) - kinetic(hit.first_post, hit.second_post)
    assert lost == pytest.approx(0.5 * reduced * (1 - e**2) * 25.0, rel=1e-6, abs=1e-9)


def test_sliding_ball_ends_up_rolling():
    w = world(ball(y=1.9, vx=2.0), Solid("floor", "wood", **FLOOR), mu=0.4)
    w.movers[0].rolling = 0.0
    w.run(1.5)
    s = w.movers[0]
    # friction takes 2/7 of a solid ball's speed before it rolls
    assert s.vx == pytest.approx(2.0 * 5 / 7, rel=0.02)
    assert s.spin * s.radius == pytest.approx(s.vx, rel=0.02)


def test_block_tumbles_comes_to_rest_flat_and_never_sinks():
    model = make_body("block", "wood", 1.0, 1.0, 1.4)
    solid = Solid("block", "wood", model.vertices, model.radius, inverse_mass=1.0,
                  inverse_inertia=1 / model.inertia_kg_m2, y=1.0, angle=0.5, spin=3.0)  # fmt: skip
    w = world(solid, Solid("floor", "wood", **FLOOR), e=0.4, mu=0.4)
    w.run(4.0)
    lowest = [
        max(v for _, v in place(model.vertices, x, y, angle)) + model.radius
        for _, x, y, angle, *_ in w.knots[id(solid)]
    ]
    assert max(lowest) < 2.0 + 0.003
    assert solid.asleep
    quarter = (solid.angle / (math.pi / 2)) % 1.0
    assert min(quarter, 1 - quarter) < 0.02


def test_thin_fast_body_does_not_pass_through_another():
    rod = Solid("rod", "steel", ((0.0, -0.5), (0.0, 0.5)), 0.004, x=1.0)
    w = world(ball(radius=0.01, vx=30.0), rod)
    w.run(0.2)
    assert len(w.meetings) == 1
    assert w.movers[0].vx < 0


def test_tool_is_thrown_back_by_its_restitution():
    brake, _ = follow_through(0.5, (0.0, 0.0, 0.0), (0.0, 0.0, 8.0), 0.2)

    def plan(time_s, at, rate):
        piece, end = follow_through(time_s, at, rate, 0.3)
        return [piece, hold(piece.end_s, 100.0, end)]

    swing = [hold(0.0, 0.3, (0.0, 0.0, -0.8)), go(0.3, 0.5, (0.0, 0.0, -0.8), (0.0, 0.0, 0.0), (0.0, 0.0, 8.0)), brake]
    tool = Solid("hammer", "steel", radius=0.05, path=Path(swing, (0.5, 0.0), plan), rigidity_kg=2.0)
    w = world(tool, Solid("floor", "wood", plane=(0.0, -1.0), y=0.05), e=0.3)
    w.run(1.5)
    (blow,) = w.meetings
    assert blow.time_s == pytest.approx(0.5, abs=1e-4)
    assert blow.first_pre[1] == pytest.approx(4.0, rel=1e-3)
    assert blow.first_post[1] == pytest.approx(-1.2, rel=1e-3)
    assert blow.impulse_ns == pytest.approx(2.0 * 1.3 * 4.0, rel=1e-3)


def test_blow_on_a_free_ball_slows_the_tool():
    def plan(time_s, at, rate):
        piece, end = follow_through(time_s, at, rate, 1.0)
        return [piece, hold(piece.end_s, 100.0, end)]

    push = go(0.0, 0.5, (-1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (4.0, 0.0, 0.0))
    over, _ = follow_through(0.5, (0.0, 0.0, 0.0), (4.0, 0.0, 0.0), 1.0)
    tool = Solid("foot", "flesh", radius=0.05, path=Path([push, over], (0.0, 0.0), plan), rigidity_kg=3.0)
    target = ball(x=0.15, radius=0.1, mass=0.5, release_s=10.0)
    w = world(target, tool, e=0.5)
    w.run(0.6)
    hit = w.meetings[0]
    reduced = 0.5 * 3.0 / 3.5
    assert hit.first_post[0] == pytest.approx(reduced * 1.5 * 4.0 / 0.5, rel=1e-3)
    assert hit.second_post[0] == pytest.approx(4.0 - reduced * 1.5 * 4.0 / 3.0, rel=1e-3)


def test_gap_between_outlines():
    square = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
    corner = convex_gap([(4.0, 5.0)], 0.5, square, 0.0)
    assert corner.distance == pytest.approx(4.5)
    assert (corner.nx, corner.ny) == pytest.approx((0.6, 0.8))
    inside = convex_gap([(0.0, -0.9)], 0.0, square, 0.0)
    assert inside.distance == pytest.approx(-0.1)
    assert (inside.nx, inside.ny) == pytest.approx((0.0, -1.0))
    apart = convex_gap([(3.0, 0.2), (5.0, 0.2)], 0.1, square, 0.2)
    assert apart.distance == pytest.approx(1.7)


def test_mass_fixes_size_and_spans_its_range():
    rng = np.random.default_rng(0)
    bodies = [draw_body(rng) for _ in range(600)]
    masses = np.log([b.mass_kg for b in bodies])
    low, high = np.log(MASS_RANGE_KG)
    quartiles = np.quantile((masses - low) / (high - low), [0.25, 0.5, 0.75])
    assert quartiles == pytest.approx([0.25, 0.5, 0.75], abs=0.06)
    steel = make_body("ball", "steel", 2.0, 1.0)
    volume = 4 / 3 * math.pi * steel.radius**3
    assert 2.0 / volume == pytest.approx(MATERIALS["steel"].density_kg_m3)
    light, heavy = make_body("block", "wood", 0.5, 1.0, 1.2), make_body("block", "wood", 4.0, 1.0, 1.2)
    assert heavy.reach_m / light.reach_m == pytest.approx(2.0)


def test_softer_partner_rules_the_restitution():
    assert restitution("steel", "fabric") == pytest.approx(MATERIALS["fabric"].restitution, abs=0.01)
    assert restitution("rubber", "concrete") == pytest.approx(MATERIALS["rubber"].restitution, abs=0.01)
