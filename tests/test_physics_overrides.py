"""Corrections by hand: exact, and nothing else changes."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavas_core.errors import PhysicsError
from pavas_core.physics.overrides import (
    add_impact,
    apply_edits,
    delete_impact,
    edit_impact,
    edits_from_options,
    move_impact,
    mute,
    override_mass,
    scale_speed,
    set_material,
    set_speed,
)
from pavas_core.physics.validate import check_scene
from tests.physics_scenes import make_impact, make_scene
from tests.test_physics_serialise import assert_same

SCENE = make_scene()
FACTORS = st.floats(0.01, 20)


def bodies(scene):
    return {body.object.id: body for body in scene.bodies}


@given(FACTORS)
def test_mass_keeps_motion_and_takes_impulse_and_energy_with_it(factor):
    edited = override_mass(SCENE, "ball", 0.6 * factor)
    assert bodies(edited)["ball-1"].mass.mass_kg == 0.6 * factor
    assert_same(replace(bodies(edited)["ball-1"].velocity, size_m=0.2), SCENE.bodies[0].velocity)
    assert bodies(edited)["ball-1"].velocity.size_m == pytest.approx(0.2 * factor ** (1 / 3))
    assert bodies(edited)["cup-1"] is SCENE.bodies[1]
    floor, cup = edited.impacts
    assert floor.impulse_ns == pytest.approx(1.8 * factor)
    assert floor.energy_loss_j == pytest.approx(0.9 * factor)
    ratio = (0.6 * factor * 0.3 / (0.6 * factor + 0.3)) / (0.6 * 0.3 / 0.9)
    assert cup.impulse_ns == pytest.approx(1.8 * ratio)
    assert cup.energy_loss_j == pytest.approx(max(0, 0.9 * factor + 0.3)), "the ball's part and the cup's own"
    assert_same(replace(floor, impulse_ns=1.8, energy_loss_j=0.9), SCENE.impacts[0])


def test_mass_of_the_partner_counts_only_where_it_takes_part():
    edited = override_mass(SCENE, "cup-1", 30)
    assert edited.impacts[0] is SCENE.impacts[0]
    assert edited.impacts[1].impulse_ns == pytest.approx(1.8 * (0.6 * 30 / 30.6) / 0.2)
    assert edited.impacts[1].energy_loss_j == pytest.approx(0.9 + 0.3 * 100)


def test_the_same_mass_changes_no_number():
    edited = override_mass(SCENE, "ball", 0.6)
    assert_same(edited.impacts, SCENE.impacts)


@given(FACTORS)
def test_speed_of_all_scales_every_speed_once(factor):
    edited = scale_speed(SCENE, factor)
    for old, new in zip(SCENE.bodies, edited.bodies, strict=True):
        np.testing.assert_allclose(new.velocity.speed_mps, old.velocity.speed_mps * factor, rtol=1e-6)
        np.testing.assert_allclose(new.velocity.vector_mps, old.velocity.vector_mps * factor, rtol=1e-6)
        np.testing.assert_allclose(new.velocity.sigma_mps, old.velocity.sigma_mps * factor, rtol=1e-6)
        assert new.velocity.times_s is old.velocity.times_s
        assert new.mass is old.mass
    assert edited.bodies[0].velocity.breaks[0].pre_mps == pytest.approx((1.5 * factor, 2 * factor, 0))
    for old, new in zip(SCENE.impacts, edited.impacts, strict=True):
        assert new.time_s == old.time_s
        for name in ("pre_normal_mps", "post_normal_mps", "pre_speed_mps", "post_speed_mps", "impulse_ns"):
            assert getattr(new, name) == pytest.approx(getattr(old, name) * factor)
        assert new.energy_loss_j == pytest.approx(old.energy_loss_j * factor**2)


def test_factor_one_changes_no_number():
    assert_same(scale_speed(SCENE, 1.0), SCENE)


def test_a_collision_takes_from_each_body_what_it_brings():
    """The cup comes towards the ball at 3 m/s along the normal and goes on at 1 m/s; the ball brings the rest."""
    cup = SCENE.bodies[1]
    vectors = np.zeros_like(cup.velocity.vector_mps)
    vectors[:, 1] = np.where(cup.velocity.times_s < 1.5, -3.0, -1.0)
    cup = replace(cup, velocity=replace(cup.velocity, vector_mps=vectors, speed_mps=np.abs(vectors[:, 1])))
    hit = make_impact(
        "hit",
        "ball-1",
        time_s=1.5,
        partner="cup-1",
        contact="collision",
        pre_normal_mps=5.0,
        post_normal_mps=2.0,
        energy_loss_j=1.2,
    )
    scene = replace(SCENE, bodies=(SCENE.bodies[0], cup), impacts=(hit,))
    ball, both = scale_speed(scene, 2, "ball").impacts[0], scale_speed(scene, 2).impacts[0]
    assert (ball.pre_normal_mps, ball.post_normal_mps) == pytest.approx((3 + 2 * 2, -1 + 2 * 3))
    other = scale_speed(scene, 2, "cup").impacts[0]
    assert (other.pre_normal_mps, other.post_normal_mps) == pytest.approx((2 * 3 + 2, -2 * 1 + 3))
    assert other.pre_speed_mps == hit.pre_speed_mps, "the ball's own speed stays"
    assert other.impulse_ns == pytest.approx(0.2 * (8 + 1))
    assert other.energy_loss_j == pytest.approx(0.9 + (1.2 - 0.9) * 4), (
        "the cup's part of 1.2 J goes with its speed squared"
    )
    assert (both.pre_normal_mps, both.post_normal_mps) == (10.0, 4.0)


def test_a_speed_curve_replaces_its_stretch_only():
    edited = set_speed(SCENE, "ball", [(0.5, 4.0), (0.8, 5.0), (0.8, 2.5), (1.0, 2.5)])
    old, new = SCENE.bodies[0].velocity, edited.bodies[0].velocity
    inside = (old.times_s >= 0.5) & (old.times_s <= 1.0)
    np.testing.assert_array_equal(new.speed_mps[~inside], old.speed_mps[~inside])
    np.testing.assert_allclose(new.speed_mps[inside], [4 + 0.125 / 0.3, 2.5], rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(new.vector_mps[inside], axis=1), new.speed_mps[inside], rtol=1e-5)
    turned = np.sum(new.vector_mps[inside] * old.vector_mps[inside], 1) / (new.speed_mps * old.speed_mps)[inside]
    np.testing.assert_allclose(turned, 1, rtol=1e-5)
    impact = edited.impacts[0]
    assert (impact.pre_speed_mps, impact.post_speed_mps) == (5.0, 2.5)
    assert impact.pre_normal_mps == pytest.approx(5 * 2 / 2.5)
    assert impact.energy_loss_j == pytest.approx(0.3 * (5**2 - 2.5**2))
    assert impact.impulse_ns == pytest.approx(0.6 * (impact.pre_normal_mps + impact.post_normal_mps))
    assert edited.impacts[1] is SCENE.impacts[1]
    assert edited.bodies[1] is SCENE.bodies[1]
    assert math.hypot(*new.breaks[0].pre_mps) == pytest.approx(5)


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ([(0, 1)], "two points"),
        ([(0, 1), (3, 1)], "0 to 2 s"),
        ([(1, 1), (0.5, 1)], "must rise"),
        ([(0, 1), (0, 2), (0, 3)], "must rise"),
        ([(0, 1), (1, -2)], "a magnitude"),
        ([(0, 1), (1, 400)], "faster than sound"),
        ([(0, 1), (1, math.nan)], "nan"),
        ([(0, 1), (1,)], "pairs"),
    ],
)
def test_impossible_curves_are_refused(curve, message):
    with pytest.raises(PhysicsError, match=message):
        set_speed(SCENE, "ball", curve)


def test_material_by_key_and_by_word():
    edited = set_material(SCENE, "ball", "wooden")
    assert edited.bodies[0].object.material == "wood"
    assert edited.bodies[0].mass is SCENE.bodies[0].mass
    assert_same(edited.impacts, SCENE.impacts)
    with pytest.raises(PhysicsError, match="no material 'qwert': use one of wood"):
        set_material(SCENE, "ball", "qwert")


def test_an_added_impact_obeys_its_numbers():
    edited = add_impact(SCENE, "ball", 0.3, speed_mps=4, surface="steel", restitution=0.25)
    assert [one.id for one in edited.impacts] == ["edit-1", "impact-1", "impact-2"]
    new = edited.impacts[0]
    assert new.impulse_ns == pytest.approx(0.6 * (4 + 1))
    assert new.energy_loss_j == pytest.approx(0.3 * (16 - 1))
    assert (new.surface, new.source) == ("steel", "edit")
    assert new.position == pytest.approx((SCENE.tracks.tracks[0].centroids[1] / [64, 48]).tolist(), rel=1e-6)
    again = add_impact(edited, "ball", 0.3, speed_mps=4)
    assert [one.id for one in again.impacts if one.source == "edit"] == ["edit-1", "edit-2"]
    assert_same(delete_impact(edited, "edit-1"), SCENE)


def test_an_added_impact_takes_the_speed_of_its_moment():
    velocity = SCENE.bodies[0].velocity
    assert add_impact(SCENE, "ball", 0.13).impacts[0].pre_normal_mps == pytest.approx(float(velocity.speed_mps[0]))
    unseen = replace(velocity, speed_mps=np.full_like(velocity.speed_mps, np.nan))
    scene = replace(SCENE, bodies=(replace(SCENE.bodies[0], velocity=unseen), SCENE.bodies[1]))
    with pytest.raises(PhysicsError, match="give speed_mps"):
        add_impact(scene, "ball", 0.3)


def test_landing_stays_and_bounce_leaves():
    assert add_impact(SCENE, "ball", 0.3, speed_mps=2, contact="landing").impacts[0].post_normal_mps == 0
    assert add_impact(SCENE, "ball", 0.3, speed_mps=2, contact="bounce").impacts[0].post_normal_mps > 0


def test_moving_and_changing_impacts():
    moved = move_impact(SCENE, "impact-1", 1.9)
    assert [one.id for one in moved.impacts] == ["impact-2", "impact-1"], "impacts stay sorted by time"
    assert_same(replace(moved.impacts[1], time_s=0.8, source="estimate"), SCENE.impacts[0])
    harder = edit_impact(SCENE, "impact-1", speed_mps=6, surface="steel", contact="strike").impacts[0]
    assert (harder.pre_normal_mps, harder.post_normal_mps) == (6.0, 3.0)
    assert (harder.impulse_ns, harder.energy_loss_j) == pytest.approx((1.8 * 3, 0.9 * 9))
    assert (harder.surface, harder.contact) == ("steel", "strike")


def test_mute_silences_an_object():
    assert mute(SCENE, "ball").impacts == ()
    assert mute(SCENE, "cup").impacts == SCENE.impacts[:1]
    assert mute(SCENE, "cup").bodies == SCENE.bodies


@pytest.mark.parametrize("edit", [override_mass, set_material, mute, scale_speed])
def test_unknown_names_list_the_known(edit):
    arguments = {override_mass: ("dog", 1.0), set_material: ("dog", "wood"), mute: ("dog",), scale_speed: (2.0, "dog")}
    with pytest.raises(PhysicsError, match="no object 'dog': there are ball-1, cup-1"):
        edit(SCENE, *arguments[edit])
    with pytest.raises(PhysicsError, match="no impact 'x': there are impact-1, impact-2"):
        move_impact(SCENE, "x", 1)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e7, "heavy", None])
def test_impossible_masses_and_factors(value):
    with pytest.raises(PhysicsError, match="mass of ball"):
        override_mass(SCENE, "ball", value)
    with pytest.raises(PhysicsError, match="speed scale of ball-1"):
        scale_speed(SCENE, value, "ball")


def test_edits_as_text_do_what_the_functions_do():
    text = json.dumps(
        {
            "objects": {"*": {"speed_scale": 2}, "ball": {"mass_kg": 1.2, "material": "steel"}, "toy": {"mute": False}},
            "impacts": {"impact-2": None, "impact-1": {"time_s": 1.0}},
            "add_impacts": [{"object": "cup", "time_s": 1.5, "speed_mps": 1, "surface": "wood"}],
        }
    )
    scene = set_material(override_mass(SCENE, "ball-1", 1.2), "ball-1", "steel")
    scene = move_impact(delete_impact(scale_speed(scene, 2), "impact-2"), "impact-1", 1.0)
    assert_same(apply_edits(SCENE, text), add_impact(scene, "cup", 1.5, speed_mps=1, surface="wood"))


def test_the_exact_name_wins():
    edits = {"objects": {"*": {"speed_scale": 3}, "ball-1": {"speed_scale": 2}, "ball": {"speed_scale": 5}}}
    edited = apply_edits(SCENE, edits)
    assert edited.bodies[0].velocity.speed_mps[0] == pytest.approx(0.2)
    assert edited.bodies[1].velocity.speed_mps[0] == pytest.approx(0.3)


@pytest.mark.parametrize("empty", ["", "  \n", "{}", {}, '{"objects": {}}'])
def test_no_edits_are_no_change(empty):
    assert_same(apply_edits(SCENE, empty), SCENE)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ("{", "no JSON"),
        ("[]", "The edits must be a mapping"),
        ('{"object": {}}', "nothing called 'object' in the edits: use objects"),
        ('{"objects": []}', "mapping from names"),
        ('{"objects": {"ball": 3}}', "edits of ball must be"),
        ('{"objects": {"ball": {"mass": 3}}}', "nothing called 'mass' in the edits of ball: use mass_kg"),
        ('{"objects": {"dog": {"mass_kg": 3}}}', "no object 'dog'"),
        ('{"objects": {"ball": {"mute": 1}}}', "true or false"),
        ('{"objects": {"ball": {"speed_scale": 500}}}', "faster than sound"),
        ('{"objects": {"ball": {"speed_curve": 3}}}', "two points"),
        ('{"impacts": {"impact-9": null}}', "no impact 'impact-9'"),
        ('{"impacts": {"impact-1": {"time_s": 5}}}', "time of the clip"),
        ('{"impacts": {"impact-1": {"speed_mps": -5}}}', "a magnitude"),
        ('{"add_impacts": {}}', "must be a list"),
        ('{"add_impacts": [{"object": "ball"}]}', "lacks time_s"),
        ('{"add_impacts": [{"object": "ball", "time_s": 1, "restitution": 2}]}', "restitution"),
        ('{"add_impacts": [{"object": "ball", "time_s": 1, "contact": "kiss"}]}', "'kiss'"),
        ('{"add_impacts": [{"object": "ball", "time_s": 1, "partner": "ball"}]}', "hit itself"),
    ],
)
def test_edits_that_cannot_be_are_refused_in_one_sentence(edits, message):
    with pytest.raises(PhysicsError, match=message) as refusal:
        apply_edits(SCENE, edits)
    assert "\n" not in str(refusal.value)


@given(st.dictionaries(st.sampled_from(["ball", "cup-1", "*"]), FACTORS), FACTORS)
def test_edited_scenes_are_possible_scenes(factors, mass_kg):
    edits = {"objects": {name: {"speed_scale": factor, "mass_kg": mass_kg} for name, factor in factors.items()}}
    check_scene(apply_edits(SCENE, edits))


def test_options_of_the_command_line():
    edits = edits_from_options(["2", "ball=3"], ["ball = rubber", "wood"])
    assert edits == {
        "objects": {"*": {"speed_scale": 2.0, "material": "wood"}, "ball": {"speed_scale": 3.0, "material": "rubber"}}
    }
    assert edits_from_options() == {}
    for scales in (["ball=fast"], ["2", "3"], [""]):
        with pytest.raises(PhysicsError):
            edits_from_options(scales)
