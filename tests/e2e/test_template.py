"""Every template in the real frontend: it opens, equals its API twin, and runs with nothing but Run.

Where a template needs weights that are not in the box, small ones in the published layouts are chosen in its loaders.
"""

from __future__ import annotations

import json
import os
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import early_vue_nodes, open_frontend, press_run
from tests.e2e.test_full_physics import SMALL as SMALL_ESTIMATORS
from tests.e2e.test_full_physics import write_estimators
from tests.e2e.test_published_model import write_models

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
TEMPLATES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
PUBLISHED = "mmaudio_large_44k_v2.pth"
WHERE_TO_GET = {
    PUBLISHED: "get it and what it needs with the node Download Models (PAVAS)",
    "cut3r_512_dpt_4_64.pth": "from CUT3R's own page on GitHub (not for commercial use), into ",
}
SMALL = {"PavasLoadModel": {"file": "one.safetensors"}, "PavasLoadVideo": {"duration_s": 1.2}}
"""What a template with published weights gets instead: small files, and a clip of two Synchformer windows."""
MEDIA = ("images", "audio", "gifs", "video")


@pytest.fixture(scope="module", params=["canvas", "vue nodes"])
def page(request, comfy_web, tmp_path_factory):
    """The frontend in either way of drawing nodes."""
    write_models(comfy_web.base / "models" / "pavas")
    write_estimators(comfy_web.base / "models")
    profile = tmp_path_factory.mktemp("profile")
    browser = open_frontend(comfy_web, profile, vue_nodes=request.param == "vue nodes")
    yield browser
    browser.close()


def twin(name: str) -> dict[str, Any]:
    return json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))


def open_template(comfy, page, name: str) -> None:
    """As from the list of templates."""
    url = f"/api/workflow_templates/{urllib.parse.quote(comfy.folder)}/{name}.json"
    page.run(
        f"fetch('{url}').then(reply => reply.json())"
        f".then(graph => window.app.loadGraphData(graph, true, true, '{name}'))"
    )
    page.run("new Promise(resolve => setTimeout(resolve, 2000))")


def choose_small_models(page, small: dict[str, dict[str, Any]]) -> None:
    page.run(
        f"((small) => {{ for (const node of window.app.graph._nodes)"
        f" for (const [name, value] of Object.entries(small[node.type] ?? {{}}))"
        f" node.widgets.find(widget => widget.name === name).value = value; }})({json.dumps(small)})"
    )


def served(comfy, file: dict[str, str]) -> tuple[str, int]:
    """(content type, bytes) of a file that a node shows."""
    query = urllib.parse.urlencode({key: file[key] for key in ("filename", "subfolder", "type")})
    with urllib.request.urlopen(f"http://127.0.0.1:{comfy.port}/view?{query}", timeout=30) as reply:
        return reply.headers["Content-Type"], len(reply.read())


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_equals_its_api_twin_and_runs(request, comfy_web, page, name):
    open_template(comfy_web, page, name)
    exported = page.run("window.app.graphToPrompt().then(prompt => prompt.output)")
    for node in exported.values():
        if node["class_type"] == "PreviewAny":
            node["inputs"].pop("preview", None)  # older frontends send what the node shows
    assert exported == twin(name)

    if any(node["inputs"].get("file") == PUBLISHED for node in exported.values()):
        choose_small_models(page, SMALL)
    if "PavasLoadVlm" in {node["class_type"] for node in exported.values()}:
        choose_small_models(page, SMALL_ESTIMATORS)
    job = press_run(comfy_web, page)
    assert job["status"]["status_str"] == "success", job["status"]["messages"][-1]
    page.wait_for(f"{json.dumps([*job['outputs']])}.every(node => node in window.app.nodeOutputs)")
    page.wait_for("[...document.images].every(one => one.complete)")
    for outputs in job["outputs"].values():
        for file in (one for kind in MEDIA for one in outputs.get(kind, ())):
            kind, size = served(comfy_web, file)
            assert kind.split("/")[0] in ("video", "audio", "image"), file
            assert size > 1000, file
    saves = [node_id for node_id, node in exported.items() if node["class_type"] == "PavasSaveVideo"]
    assert saves
    assert set(saves) <= set(job["outputs"])
    assert "failed to load" not in page.run("document.body.innerText").lower(), "every picture and video is shown"
    if not early_vue_nodes(comfy_web, request.node.callspec.params["page"]):
        assert page.run("[...document.querySelectorAll('video')].some(one => one.src.includes('/clips/example.mp4'))")
    keep = os.environ.get("PAVAS_E2E_SCREENSHOTS")
    if keep:
        page.screenshot(Path(keep) / f"{name} {request.node.callspec.params['page']}.png")


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_node_lies_on_another(request, comfy_web, page, name):
    if early_vue_nodes(comfy_web, request.node.callspec.params["page"]):
        pytest.skip("the early Vue nodes of ComfyUI 0.3 give nodes other sizes than the saved ones")
    open_template(comfy_web, page, name)
    boxes = json.loads(
        page.run(
            "JSON.stringify(window.app.graph._nodes.map("
            "n => [n.title, n.pos[0], n.pos[1] - 30, n.pos[0] + n.size[0], n.pos[1] + n.size[1]]))"
        )
    )
    for index, (title, left, top, right, bottom) in enumerate(boxes):
        for other, other_left, other_top, other_right, other_bottom in boxes[index + 1 :]:
            apart = right <= other_left or other_right <= left or bottom <= other_top or other_bottom <= top
            assert apart, f"{title} lies on {other}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_fresh_server_runs_the_template_or_says_which_file_to_get(comfy_web, name):
    graph = twin(name)
    missing = [key for key, node in graph.items() if node["inputs"].get("file") in WHERE_TO_GET]
    status, reply = comfy_web.post("/prompt", {"prompt": graph})
    if "prompt_id" in reply:  # at least a part of it runs
        comfy_web.post("/queue", {"delete": [reply["prompt_id"]]})
        comfy_web.post("/interrupt", {"prompt_id": reply["prompt_id"]})
    if not missing:
        assert status == 200
        assert not reply["node_errors"]
    for key in missing:
        (error,) = reply["node_errors"][key]["errors"]
        assert WHERE_TO_GET[graph[key]["inputs"]["file"]] in error["details"]
