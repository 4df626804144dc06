"""Compose Prompt in the real frontend: its words are seen, and its button puts them where they can be edited."""

from __future__ import annotations

import json

import pytest

from tests.e2e.browser import early_vue_nodes, open_frontend

NODE = "window.app.graph._nodes.find(n => n.type === 'PavasComposePrompt')"
TEXT = f"{NODE}.widgets.find(w => w.name === 'text')"
GRAPH = {
    "1": {"class_type": "PavasLoadVideo", "inputs": {"file": "[example] example.mp4", "start_s": 0, "duration_s": 1}},
    "2": {"class_type": "PavasDetectMotion", "inputs": {"video": ["1", 0], "max_objects": 8}},
    "3": {"class_type": "PavasComposePrompt", "inputs": {"text": "{objects}, outdoors", "objects": ["2", 0]}},
    "4": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
}


@pytest.fixture(params=["canvas", "vue nodes"])
def page(request, comfy_web, tmp_path):
    browser = open_frontend(comfy_web, tmp_path / "profile", vue_nodes=request.param == "vue nodes")
    try:
        browser.run(f"window.app.loadApiJson({json.dumps(GRAPH)}, 'prompt')")
        browser.wait_for(f"Boolean({NODE})")
        yield browser
    finally:
        browser.close()


def run(comfy, page) -> str:
    """Press Run and return the prompt that reached the next node."""
    known = set(comfy.get("/history"))
    page.run("window.app.queuePrompt(0, 1)")
    page.wait_for(f"fetch('/history').then(r => r.json()).then(h => Object.keys(h).length > {len(known)})", 120)
    history = comfy.get("/history")
    (prompt_id,) = set(history) - known
    assert history[prompt_id]["status"]["status_str"] == "success", history[prompt_id]["status"]["messages"][-1]
    (shown,) = [one["text"] for one in history[prompt_id]["outputs"].values() if "text" in one]
    return shown[0]


def test_the_composed_words_are_edited_in_place(comfy_web, page):
    composed = run(comfy_web, page)
    assert composed.endswith(", outdoors")
    assert "{objects}" not in composed
    button = f"{NODE}.widgets.find(w => w.name === 'Edit this prompt')"
    page.wait_for(f"Boolean({NODE}.pavasPrompt)")
    page.run(f"{button}.callback()")
    assert page.run(f"{TEXT}.value") == composed
    page.run(f"{TEXT}.value = 'a steel ' + {TEXT}.value")
    assert run(comfy_web, page) == f"a steel {composed}"


def test_the_prompt_is_seen_on_the_node(request, comfy_web, page):
    if early_vue_nodes(comfy_web, request.node.callspec.params["page"]):
        pytest.skip("the early Vue nodes of ComfyUI 0.3 do not draw the widget; canvas does")
    composed = run(comfy_web, page)
    page.wait_for(f"document.body.innerText.includes({json.dumps(composed)})")
