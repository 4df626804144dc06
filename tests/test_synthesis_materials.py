"""Materials, the words for them and what a prompt says about a scene."""

import pytest

from pavas_core.synthesis.materials import MATERIALS, words_to_material
from pavas_core.synthesis.prompt import apply_prompt, parse_prompt
from tests.synthesis_scenes import make_body, make_scene


@pytest.mark.parametrize("key", sorted(MATERIALS))
def test_material_values_are_physical_and_cited(key):
    material = MATERIALS[key]
    assert material.key == key
    assert 10 <= material.density_kg_m3 <= 12000
    assert 1e4 <= material.transverse_pa <= material.youngs_pa <= 4e11
    assert 0.0 < material.poisson < 0.5
    assert 1e-4 <= material.loss_factor <= 0.5
    assert 0.0 < material.restitution < 1.0
    assert material.source


def test_handbook_sound_speeds():
    """sqrt(E/rho) of steel, aluminium and glass lies near 5 km/s (Kinsler et al., appendix A10)."""
    for key in ("steel", "aluminium", "glass"):
        material = MATERIALS[key]
        assert (material.youngs_pa / material.density_kg_m3) ** 0.5 == pytest.approx(5150, rel=0.05)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("wooden floor", "wood"),
        ("Oak planks", "wood"),
        ("metal", "steel"),
        ("aluminum can", "aluminium"),
        ("GLASSES", "glass"),
        ("wooden hammer", "wood"),
        ("hammer", "steel"),
        ("knives", "steel"),
        ("tiles", "ceramic"),
        ("mattress", "foam"),
        ("rocks", "stone"),
        ("basketball", "rubber"),
        ("football", "leather"),
        ("persons", "flesh"),
        ("florp", None),
        ("", None),
    ],
)
def test_words_to_material(text, key):
    assert words_to_material(text) == key


@pytest.mark.parametrize(
    ("text", "materials", "surface", "unknown"),
    [
        ("rubber ball on wooden floor", {"ball": "rubber"}, "wood", ()),
        ("a hammer hitting a nail", {"hammer": "steel"}, "steel", ()),
        ("glass bottle and steel rods falling on concrete", {"bottle": "glass", "rod": "steel"}, "concrete", ()),
        ("wood mallet and leather ball on grass", {"mallet": "wood", "ball": "leather"}, "grass", ()),
        ("mallet", {"mallet": "rubber"}, "unknown", ()),
        ("a man jumping on the bed", {"man": "flesh"}, "foam", ()),
        ("ball", {"ball": "unknown"}, "unknown", ()),
        ("wooden", {"*": "wood"}, "unknown", ()),
        ("plastic quux on florp", {"*": "plastic"}, "unknown", ("quux", "florp")),
        ("", {}, "unknown", ()),
    ],
)
def test_parse_prompt(text, materials, surface, unknown):
    prompt = parse_prompt(text)
    assert prompt.materials == materials
    assert prompt.surface == surface
    assert prompt.unknown_words == unknown


def test_prompt_about_one_thing_reaches_an_unnamed_object():
    scene, surface, unknown = apply_prompt(make_scene([make_body("object")], []), "rubber ball on wooden floor")
    assert scene.bodies[0].object.material == "rubber"
    assert scene.bodies[0].object.name == "object"
    assert "ball" in scene.bodies[0].object.aliases
    assert (surface, unknown) == ("wood", ())


def test_prompt_about_two_things_goes_by_name():
    bodies = [make_body("cup"), make_body("ball")]
    scene, _, unknown = apply_prompt(make_scene(bodies, []), "steel ball and ceramic cups, wooden spoon")
    assert [body.object.material for body in scene.bodies] == ["ceramic", "steel"]
    assert unknown == ("spoon",)


def test_of_two_things_the_one_that_names_none_is_what_nobody_has_named():
    bodies = [make_body("object"), make_body("ball"), make_body("object")]
    scene, _, unknown = apply_prompt(make_scene(bodies, []), "leather ball and steel hammer")
    assert [body.object.material for body in scene.bodies] == ["steel", "leather", "steel"]
    assert unknown == ()
    scene, _, unknown = apply_prompt(make_scene(bodies, []), "ball, steel hammer, wooden stick")
    assert [body.object.material for body in scene.bodies] == ["unknown"] * 3
    assert unknown == ("hammer", "stick")


def test_prompt_that_says_nothing_changes_nothing():
    scene = make_scene([make_body("ball", "rubber")], [])
    assert apply_prompt(scene, "") == (scene, "unknown", ())
