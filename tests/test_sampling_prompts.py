"""Prompts that a clip's objects say by themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pavas_core.sampling.prompts import DOING, compose_prompt, filled_prompt
from tests.physics_scenes import make_impact, make_scene


def things(action="", material="unknown"):
    return [replace(body.object, action=action, material=material) for body in make_scene().bodies]


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
    assert compose_prompt(things(), [make_impact("a", "ball-1", **values)]) == f"{words}, cup"
    assert values.get("contact", "bounce") in DOING


def test_the_most_frequent_contact_counts_and_a_named_action_first():
    impacts = [
        make_impact(f"i{n}", "ball-1", contact=contact) for n, contact in enumerate(["catch", "bounce", "bounce"])
    ]
    assert compose_prompt(things(), impacts) == "ball bouncing on wood, cup"
    assert compose_prompt(things("rolling", "rubber"), impacts) == "rubber ball rolling, rubber cup rolling"


def test_nothing_is_said_twice_and_nothing_of_nothing():
    ball = things()[0]
    assert compose_prompt([ball, replace(ball, id="ball-2")]) == "ball"
    assert compose_prompt([]) == ""
    assert compose_prompt([ball, replace(ball, id="object-1", name="object")]) == "ball"
    bouncing = [make_impact("a", "object-1")]
    assert compose_prompt([replace(ball, id="object-1", name="object")], bouncing) == "object bouncing on wood"
    assert compose_prompt([replace(ball, name="steel ball", material="steel")]) == "steel ball"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{objects}", "ball, cup"),
        ("{objects}, close microphone", "ball, cup, close microphone"),
        ("a glass breaks", "a glass breaks"),
        ("", ""),
        ("rain {objects} {objects}", "rain ball, cup ball, cup"),
        ("{object} {0}", "{object} {0}"),
    ],
)
def test_a_users_text_holds_the_objects_where_it_says_so(text, said):
    assert filled_prompt(text, things()) == said


def test_no_comma_is_left_where_nothing_moves():
    assert filled_prompt("{objects}, close microphone", []) == "close microphone"
