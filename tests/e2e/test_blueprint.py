"""The blueprint in the real frontend: offered to users, and a clip wired into it comes out with sound."""

from __future__ import annotations

import pytest

from tests.e2e.browser import Browser, chromium

OPEN = """
(async () => {
  const offered = await (await fetch('/api/global_subgraphs')).json();
  const id = Object.keys(offered).find(key => offered[key].name === 'Physics foley');
  const { data } = await (await fetch('/api/global_subgraphs/' + id)).json();
  await window.app.loadGraphData(JSON.parse(data), true, true, 'blueprint');
  const graph = window.app.graph;
  const foley = graph.nodes[0];
  const loader = window.LiteGraph.createNode('PavasLoadVideo');
  graph.add(loader);
  loader.connect(0, foley, 0);
  foley.widgets.find(widget => widget.name === 'masses').value = '* = 3';
  const prompt = (await window.app.graphToPrompt()).output;
  await window.app.queuePrompt(0, 1);
  return prompt;
})()
"""


def test_the_blueprint_makes_sound_for_a_clip(comfy_web, tmp_path):
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on the path")
    if comfy_web.get("/system_stats")["system"].get("comfyui_version", "0").startswith("0.3."):
        pytest.skip("this ComfyUI has no blueprints yet")
    known = set(comfy_web.get("/history"))
    comfy_web.post("/settings/Comfy.TutorialCompleted", True)
    browser = Browser(program, tmp_path / "profile")
    try:
        browser.open(f"http://127.0.0.1:{comfy_web.port}/")
        browser.wait_for("Boolean(window.app?.graph && window.LiteGraph?.registered_node_types?.PavasLoadVideo)")
        browser.run("new Promise(resolve => setTimeout(resolve, 3000))")
        prompt = browser.run(OPEN)
        classes = {node["class_type"]: node["inputs"] for node in prompt.values()}
        assert len(classes) == 9
        assert classes["PavasManualMass"]["masses"] == "* = 3"
        browser.wait_for(f"fetch('/history').then(r => r.json()).then(h => Object.keys(h).length > {len(known)})", 180)
    finally:
        browser.close()
    (prompt_id,) = set(comfy_web.get("/history")) - known
    entry = comfy_web.get(f"/history/{prompt_id}")[prompt_id]
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"][-1]
    files = [one["filename"] for output in entry["outputs"].values() for one in output.get("images", [])]
    assert any(name.endswith(".mp4") for name in files), entry["outputs"]
