"""The Physics Editor in the real frontend, by mouse: what is edited there is heard as physics says."""

from __future__ import annotations

import json
import os
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.browser import open_frontend, press_run
from tests.e2e.test_quick_start import sound_of

INSIDE = "document.querySelector('dialog.pavas-editor iframe')"
EDITOR = "window.app.graph._nodes.find(n => n.type === 'PavasPhysicsEditor')"
AFTER_IMPACT_S = 0.12


@pytest.fixture(params=["canvas", "vue nodes"])
def page(request, comfy_web, tmp_path):
    """The frontend with the quick start open, in either way of drawing nodes."""
    browser = open_frontend(comfy_web, tmp_path / "profile", vue_nodes=request.param == "vue nodes")
    try:
        url = f"/api/workflow_templates/{comfy_web.folder}/quick_start.json"
        browser.run(
            f"fetch('{url}').then(reply => reply.json())"
            ".then(graph => window.app.loadGraphData(graph, true, true, 'quick_start'))"
        )
        browser.run("new Promise(resolve => setTimeout(resolve, 2000))")
        yield browser
    finally:
        browser.close()


def run_workflow(comfy, page) -> tuple[np.ndarray, int]:
    """Press Run and return the sound of the saved video."""
    job = press_run(comfy, page)
    assert job["status"]["status_str"] == "success", job["status"]["messages"][-1]
    outputs = [one for one in job["outputs"].values() for one in one.get("images", ()) if one["type"] == "output"]
    (video,) = [one for one in outputs if one["filename"].endswith(".mp4")]
    return sound_of(comfy.base / "output" / video["subfolder"] / video["filename"])


def view_of(comfy, page) -> dict:
    """What the dialog shows: the estimate of the last run."""
    page.wait_for(f"Boolean({EDITOR}.pavasShown)")
    shown = json.loads(page.run(f"JSON.stringify({EDITOR}.pavasShown)"))
    query = urllib.parse.urlencode({"filename": shown["view"], "subfolder": shown["subfolder"], "type": shown["type"]})
    with urllib.request.urlopen(f"http://127.0.0.1:{comfy.port}/view?{query}", timeout=30) as reply:
        return json.load(reply)


def open_editor(page) -> None:
    page.run(f"{EDITOR}.widgets.find(w => w.name === 'Edit physics').callback()")
    page.wait_for(f"{INSIDE}?.contentDocument?.body?.dataset?.ready === 'yes'")
    page.run("new Promise(resolve => setTimeout(resolve, 600))")


def place(page, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """Where a part of an element inside the dialog lies in the window."""
    script = (
        f"(() => {{ const f = {INSIDE}, o = f.getBoundingClientRect(),"
        f" e = f.contentDocument.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'nearest'}});"
        f" const r = e.getBoundingClientRect();"
        f" return [o.x + r.x + {x} * r.width, o.y + r.y + {y} * r.height]; }})()"
    )
    return tuple(page.run(script))


def on_slider(page, mass_kg: float) -> tuple[float, float]:
    """Where the handle of the mass slider is for a mass."""
    inside(page, "doc.querySelector('#massSlider').scrollIntoView({block: 'nearest'})")
    edits = "new URL('./edits.mjs', doc.location.href).href"
    script = (
        f"(async () => {{ const {{ massToSlider }} = await import({edits});"
        f" const slider = doc.querySelector('#massSlider'), r = slider.getBoundingClientRect(),"
        f" o = {INSIDE}.getBoundingClientRect();"
        f" return [o.x + r.x + 8 + (r.width - 16) * massToSlider({mass_kg}), o.y + r.y + r.height / 2]; }})()"
    )
    return tuple(inside(page, script))


def inside(page, script: str):
    return page.run(f"(doc => {script})({INSIDE}.contentDocument)")


def edits_of(page) -> dict:
    return json.loads(page.run(f"{EDITOR}.widgets.find(w => w.name === 'edits').value") or "{}")


def apply(page) -> None:
    page.click(*place(page, "#apply"))
    page.wait_for(f"!{INSIDE}")


def level_db(sound: tuple[np.ndarray, int], time_s: float) -> float:
    samples, rate = sound
    part = samples[round(time_s * rate) : round((time_s + AFTER_IMPACT_S) * rate)].astype(float)
    return float(10 * np.log10(np.square(part).mean() + 1e-12))


def keep(page, name: str) -> None:
    folder = os.environ.get("PAVAS_E2E_SCREENSHOTS")
    if folder:
        page.screenshot(Path(folder) / name)


def test_edits_by_mouse_are_heard_as_physics_says(request, comfy_web, page):
    renderer = request.node.callspec.params["page"]
    plain = run_workflow(comfy_web, page)
    view = view_of(comfy_web, page)
    # A heavier ball is louder by this much; what a heavier hammer does to a rail depends on the rail.
    bounces = [one for one in view["impacts"] if one["contact"] == "bounce"]
    hardest = max(bounces, key=lambda one: one["energy_loss_j"])
    body = next(one for one in view["objects"] if one["id"] == hardest["object"])
    keep(page, f"editor-node {renderer}.png")

    open_editor(page)
    page.click(*place(page, f".object[data-id='{body['id']}'] .name"))
    page.drag(on_slider(page, body["mass_kg"]), on_slider(page, 10 * body["mass_kg"]))
    keep(page, f"editor-mass {renderer}.png")
    apply(page)
    assert edits_of(page)["objects"][body["id"]] == {"mass_kg": pytest.approx(10 * body["mass_kg"], rel=0.15)}
    heavy = run_workflow(comfy_web, page)
    assert 8 <= level_db(heavy, hardest["time_s"]) - level_db(plain, hardest["time_s"]) <= 14

    open_editor(page)
    page.click(*place(page, "#reset"))
    page.click(*place(page, f".object[data-id='{body['id']}'] .name"))
    page.click(*place(page, "[data-tool='scale']"))
    x, y = place(page, "#curve", 0.5, 0.6)
    page.drag((x, y), (x, y - 60))
    keep(page, f"editor-speed {renderer}.png")
    apply(page)
    assert edits_of(page)["objects"][body["id"]] == {"speed_scale": pytest.approx(2, rel=0.02)}
    fast = run_workflow(comfy_web, page)
    assert 4 <= level_db(fast, hardest["time_s"]) - level_db(plain, hardest["time_s"]) <= 8

    open_editor(page)
    page.click(*place(page, "#reset"))
    page.click(*place(page, f".object[data-id='{body['id']}'] .name"))
    page.click(*place(page, f".impact[data-id='{hardest['id']}'] .bin"))
    apply(page)
    assert edits_of(page)["impacts"][hardest["id"]]["delete"] is True
    silent = run_workflow(comfy_web, page)
    assert level_db(silent, hardest["time_s"]) - level_db(plain, hardest["time_s"]) <= -20
