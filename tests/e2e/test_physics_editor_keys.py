"""The Physics Editor by keys alone: they do what they say, reach nothing behind the dialog, and can be undone."""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_physics_editor import (
    EDITOR,
    INSIDE,
    apply,
    edits_of,
    inside,
    open_editor,
    page,  # noqa: F401  (a fixture)
    place,
    run_workflow,
    view_of,
)

FOCUSED = "doc.activeElement"
GRAPH = "JSON.stringify(window.app.graph.serialize())"
MODIFIED = "window.app.extensionManager.workflow.activeWorkflow.isModified"
TRACKER = "window.app.extensionManager.workflow.activeWorkflow.changeTracker"


def tab_to(browser, condition: str, limit: int = 60) -> None:
    """Press Tab until the focused element fits."""
    for _ in range(limit):
        if inside(browser, f"Boolean((one => {condition})({FOCUSED}))"):
            return
        browser.press("Tab")
    raise AssertionError(f"Tab never reached {condition}")


@pytest.fixture
def opened(comfy_web, page):  # noqa: F811
    """The dialog over a graph that has run, with a node selected that Delete would remove."""
    run_workflow(comfy_web, page)
    view_of(comfy_web, page)
    page.run(f"window.app.canvas.selectNodes([{EDITOR}])")
    open_editor(page)
    return page


def test_everything_can_be_edited_without_a_mouse(comfy_web, opened):
    first, second = (one["id"] for one in view_of(comfy_web, opened)["objects"][:2])
    tab_to(opened, f"one.dataset.id === '{first}' && one.className.startsWith('object')")
    opened.press("ArrowDown")
    assert inside(opened, "doc.querySelector('.object.chosen').dataset.id") == second
    tab_to(opened, "one.dataset.key === 'mute'")
    tab_to(opened, "one.id === 'mass'")
    opened.press("a", control=True)
    opened.type("2.5")
    tab_to(opened, "one.id === 'scale'")
    opened.press("a", control=True)
    opened.type("2")
    tab_to(opened, "one.id === 'add'")
    opened.press("Enter")
    tab_to(opened, "one.id === 'curve'")
    opened.press("[")
    opened.press("]")
    for _ in range(3):
        opened.press("ArrowUp")
    opened.press("Enter", control=True)
    opened.wait_for(f"!{INSIDE}")
    edits = edits_of(opened)
    assert edits["objects"][second]["mass_kg"] == 2.5
    assert edits["objects"][second]["speed_scale"] == 2
    assert len(edits["objects"][second]["speed_curve"]) > 2
    assert edits["add_impacts"][0]["object"] == second
    run_workflow(comfy_web, opened)


def test_no_key_reaches_the_graph(opened):
    before = opened.run(GRAPH)
    opened.click(*place(opened, "#curve", 0.5, 0.9))
    for key in ("Delete", "Backspace", " ", " ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "r", "q", "m", "."):
        opened.press(key)
    for key in ("z", "y", "a", "c", "v", "b", "m", "g", "d"):
        opened.press(key, control=True)
    opened.press("Escape")
    if opened.run(f"Boolean({INSIDE})"):
        opened.press("Escape")
    opened.wait_for(f"!{INSIDE}")
    assert opened.run(GRAPH) == before


def test_steps_are_undone_and_redone_and_one_key_throws_nothing_away(opened):
    opened.click(*place(opened, ".object .name"))
    before = inside(opened, "doc.body.dataset.edits")
    opened.click(*place(opened, ".object [data-key='mute']"))
    assert json.loads(inside(opened, "doc.body.dataset.edits"))["objects"]
    opened.press("z", control=True)
    assert inside(opened, "doc.body.dataset.edits") == before
    opened.press("y", control=True)
    assert inside(opened, "doc.body.dataset.edits") != before
    opened.press("z", control=True)
    opened.press("z", control=True, shift=True)
    assert inside(opened, "doc.body.dataset.edits") != before
    opened.press("3")
    assert inside(opened, "doc.querySelector('[data-tool=scale]').className") == "on"
    opened.press("Escape")
    assert opened.run(f"Boolean({INSIDE})"), "changes are not thrown away by one key"
    opened.press("Escape")
    opened.wait_for(f"!{INSIDE}")
    assert edits_of(opened) == {}


def test_a_commit_marks_the_workflow_as_changed_and_comfyui_undoes_it(opened):
    opened.run(f"{TRACKER}.reset?.()")
    opened.click(*place(opened, ".object [data-key='mute']"))
    apply(opened)
    assert edits_of(opened)
    assert opened.run(MODIFIED)
    opened.run(f"{TRACKER}.undo()")
    opened.run("new Promise(resolve => setTimeout(resolve, 1000))")
    assert edits_of(opened) == {}
