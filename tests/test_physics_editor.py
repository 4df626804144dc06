"""Edits in the editor: the cases of tests/js/edit_cases.json, run in Python and, where node is there, in JavaScript."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pavas_core.errors import PhysicsError
from pavas_core.physics.editor_view import MAX_PICTURES, editor_view, film_sheets, summary
from pavas_core.physics.overrides import MAX_EDITS_BYTES, apply_edits
from tests.physics_scenes import make_impact, make_scene

FOLDER = Path(__file__).parent / "js"
CASES = json.loads((FOLDER / "edit_cases.json").read_text(encoding="utf-8"))
SCENE = make_scene()
KEYS = ("id", "time_s", "pre_normal_mps", "pre_speed_mps", "post_speed_mps", "impulse_ns", "energy_loss_j", "source")


def outcome(scene, edits) -> dict:
    """What the cases say of the scene after the edits."""
    orphans: list[str] = []
    view = editor_view(apply_edits(scene, edits, orphans))
    return {
        "objects": [{key: one[key] for key in ("id", "name", "mass_kg", "speeds_mps")} for one in view["objects"]],
        "impacts": [{key: one[key] for key in KEYS} for one in view["impacts"]],
        "orphans": orphans,
    }


def assert_like(given, expected, where=""):
    if isinstance(expected, dict):
        assert set(given) == set(expected), where
        for key in expected:
            assert_like(given[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(given) == len(expected), where
        for index, item in enumerate(expected):
            assert_like(given[index], item, f"{where}[{index}]")
    elif isinstance(expected, float):
        assert given == pytest.approx(expected, rel=2e-4, abs=1e-6), where
    else:
        assert given == expected, where


def test_the_cases_are_about_the_scene_of_the_tests():
    assert_like(json.loads(json.dumps(editor_view(SCENE) | {"materials": {}})), CASES["scene"] | {"materials": {}})


@pytest.mark.parametrize("case", CASES["cases"], ids=lambda case: case["name"])
def test_edits_do_what_the_case_says(case):
    assert_like(outcome(SCENE, case["edits"]), case["after"])


def test_javascript_does_the_same():
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the path")
    done = subprocess.run([node, "--test", str(FOLDER)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def test_edits_follow_an_impact_that_was_numbered_anew():
    earlier = make_impact("impact-0", "ball-1", time_s=0.2)
    again = replace(SCENE, impacts=(earlier, *(replace(one, id=f"new-{one.id}") for one in SCENE.impacts)))
    first = next(one for one in SCENE.impacts if one.object_id == "ball-1")
    edits = {"impacts": {first.id: {"delete": True, "object": "ball-1", "was_s": first.time_s + 0.03}}}
    orphans: list[str] = []
    left = {one.id for one in apply_edits(again, edits, orphans).impacts}
    assert left == {one.id for one in again.impacts} - {f"new-{first.id}"}
    assert orphans == []


def test_edits_follow_an_object_by_its_alias():
    bodies = tuple(
        replace(
            body,
            object=replace(body.object, id="sphere-1", name="sphere", aliases=("ball-1",)),
            velocity=replace(body.velocity, object_id="sphere-1"),
        )
        if body.object.id == "ball-1"
        else body
        for body in make_scene(tracks=False).bodies
    )
    scene = replace(make_scene(tracks=False), bodies=bodies, impacts=())
    edited = apply_edits(scene, {"objects": {"ball-1": {"mass_kg": 3}}}, [])
    assert next(body.mass.mass_kg for body in edited.bodies if body.object.id == "sphere-1") == 3


def test_orphans_are_told_with_the_summary_and_errors_without_a_list():
    edits = {"objects": {"dragon": {"mass_kg": 3}}, "impacts": {"impact-99": None}}
    orphans: list[str] = []
    edited = apply_edits(SCENE, edits, orphans)
    assert orphans == ["object dragon", "impact impact-99"]
    assert "object dragon; impact impact-99" in summary(SCENE, edited, orphans)[-1]
    with pytest.raises(PhysicsError, match="dragon"):
        apply_edits(SCENE, edits)


def test_the_summary_says_what_is_edited():
    edited = apply_edits(SCENE, {"objects": {"ball": {"mass_kg": 3, "speed_scale": 2}}, "impacts": {"impact-1": None}})
    lines = summary(SCENE, edited, [])
    assert lines[0].startswith("ball-1: 3 kg")
    assert "(edited: mass, speed)" in lines[0]
    assert "edited" not in lines[1]
    assert "1 removed" in lines[-1]


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ('{"version": 2}', "version 2"),
        (json.dumps({"objects": {"ball": {"name": "x" * MAX_EDITS_BYTES}}}), "longer than 64 kB"),
        ('{"objects": {"ball": {"solo": 1}}}', "solo of ball"),
        ('{"objects": {"ball": {"name": 3}}}', "name of ball"),
        ('{"impacts": {"impact-1": {"was_s": "soon"}}}', "was_s"),
    ],
)
def test_impossible_edits_are_refused_in_one_sentence(edits, said):
    with pytest.raises(PhysicsError, match=said):
        apply_edits(SCENE, edits, [])


def test_the_film_shows_masks_in_colour_and_stays_small():
    layout, sheets = film_sheets(None, SCENE)
    assert 2 <= len(layout["times_s"]) <= MAX_PICTURES
    assert np.all(np.diff(layout["times_s"]) > 0)
    assert len(sheets) == -(-len(layout["times_s"]) // (layout["columns"] * layout["rows"]))
    if any(track.masks is not None for track in SCENE.tracks.tracks):
        assert any(sheet.any() for sheet in sheets)
    long = replace(SCENE, duration_s=3600.0)
    layout, _ = film_sheets(None, long)
    assert len(layout["times_s"]) <= MAX_PICTURES
