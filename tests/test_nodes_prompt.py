"""Compose Prompt: what it says is shown, and what its user writes counts."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest

from pavas_core.errors import PavasError
from pavas_core.physics.types import ObjectSet
from tests import comfy_double
from tests.physics_scenes import make_impact, make_scene


@pytest.fixture
def node(monkeypatch, tmp_path):
    _, extension = comfy_double.install(monkeypatch, tmp_path / "comfy")
    package = extension.__name__.rpartition(".")[0]
    return importlib.import_module(f"{package}.prompt").PavasComposePrompt


def objects() -> ObjectSet:
    scene = make_scene()
    return ObjectSet(tuple(body.object for body in scene.bodies), scene.width, scene.height, scene.duration_s)


def composed(node, text="{objects}", **wired) -> str:
    return node.execute(text=text, **wired).args[0]


def test_the_default_text_is_the_scenes_words_on_the_node_and_on_the_wire(node):
    (text, *_) = node.define_schema().inputs
    scene = make_scene()
    out = node.execute(text=text.options["default"], scene=scene)
    prompt = out.args[0]
    assert "ball" in prompt
    assert "cup" in prompt
    assert out.ui == {"pavas_prompt": [prompt]}, "what the node shows, and its button takes"


def test_edits_of_the_scene_are_heard_in_the_words(node):
    scene = make_scene()
    bodies = tuple(replace(body, object=replace(body.object, action="")) for body in scene.bodies)
    impacts = (make_impact("a", "cup-1", contact="landing", surface="stone"),)
    assert composed(node, scene=replace(scene, bodies=bodies, impacts=impacts)) == "ball, cup landing on stone"


def test_objects_alone_do_and_a_scene_goes_before_them(node):
    assert composed(node, objects=objects()).count("bouncing") == 0
    assert composed(node, scene=make_scene(), objects=objects()) == composed(node, scene=make_scene())


def test_the_users_words_count(node):
    assert composed(node, " glass breaks ", scene=make_scene()) == "glass breaks"
    assert composed(node, "glass breaks") == "glass breaks"
    with_words = composed(node, "{objects}, in a church", objects=objects())
    assert with_words == "ball falls, cup falls, in a church"


def test_nothing_to_speak_of_is_told(node):
    nothing = ObjectSet((), 10, 10, 1.0)
    assert composed(node, objects=nothing) == ""
    with pytest.raises(PavasError, match="wire a scene or objects"):
        composed(node)
