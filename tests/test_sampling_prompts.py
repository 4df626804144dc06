"""Prompts that scenes say by themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pavas_core.sampling.prompts import DOING, compose_prompt
from tests.physics_scenes import make_impact, make_scene


def scene_of(*impacts, action="", material="unknown"):
    scene = make_scene()
    bodies = tuple(
        replace(body, object=replace(body.object, action=action, material=material)) for body in scene.bodies
    )
    return replace(scene, bodies=bodies, impacts=impacts)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "ball bouncing on wood"),
        ({"surface": "unknown"}, "ball bouncing"),
        ({"contact": "strike", "surface": "steel"}, "ball hitting steel"),
        ({"contact": "collision", "partner": "cup-1"}, "ball knocking against cup"),
        ({"contact": "landing", "surface": "soft_wood"}, "ball landing on soft wood"),
        ({"contact": "catch"}, "ball being caught"),
    ],
)
def test_an_object_does_what_its_contacts_are(values, words):
    assert compose_prompt(scene_of(make_impact("a", "ball-1", **values))) == f"{words}, cup"
    assert values.get("contact", "bounce") in DOING


def test_the_most_frequent_contact_counts_and_a_named_action_first():
    impacts = [
        make_impact(f"i{n}", "ball-1", contact=contact) for n, contact in enumerate(["catch", "bounce", "bounce"])
    ]
    assert compose_prompt(scene_of(*impacts)) == "ball bouncing on wood, cup"
    assert (
        compose_prompt(scene_of(*impacts, action="rolling", material="rubber"))
        == "rubber ball rolling, rubber cup rolling"
    )


def test_nothing_is_said_twice_and_nothing_of_nothing():
    scene = scene_of()
    twins = replace(scene, bodies=(scene.bodies[0], scene.bodies[0]))
    assert compose_prompt(twins) == "ball"
    assert compose_prompt(replace(scene, bodies=())) == ""
    steel = replace(scene.bodies[0], object=replace(scene.bodies[0].object, name="steel ball", material="steel"))
    assert compose_prompt(replace(scene, bodies=(steel,))) == "steel ball"
