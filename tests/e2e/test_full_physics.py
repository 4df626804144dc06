"""The full physics template on a real server, with tiny checkpoints in the real formats."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.e2e.comfy_client import Graph
from tests.e2e.conftest import PACK, server_python
from tests.e2e.test_quick_start import run_all, saved, sound_of, video_seconds
from tests.test_models_cut3r import small
from tests.test_models_cut3r_files import save

SMALL: dict[str, dict[str, Any]] = {
    "PavasLoadVlm": {"model": "tiny-vlm"},
    "PavasDetectVlm": {"pictures": 3},
    "PavasEstimateMassVlm": {"pictures": 3},
    "PavasSegmentTrack": {"sam2": "tiny-sam2", "florence": "tiny-florence"},
    "PavasLoadCut3r": {"file": "tiny.pth"},
    "PavasLoadVideo": {"duration_s": 0.6},
}
FROM_COMBINE = {
    "PavasCombinePhysics", "PavasPhysicsEditor", "PavasPhyAdapterEncode", "PavasComposePrompt", "PavasSampler",
    "PavasVocode", "PavasSaveVideo",
}  # fmt: skip


def write_estimators(models: Path) -> None:
    """Tiny models of every estimator in ComfyUI's folders; those of transformers by the server's own Python."""
    command = [server_python(), "-m", "tests.tiny_checkpoints", str(models)]
    subprocess.run(command, cwd=PACK, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    folder = models / "cut3r"
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        save(folder / "tiny.pth", small(dpt=False).state_dict())


@pytest.fixture(scope="module")
def models(comfy) -> None:
    write_estimators(comfy.base / "models")


@pytest.fixture
def graph(models) -> Graph:
    template = PACK / "workflows" / "api" / "full_physics.json"
    made = Graph(copy.deepcopy(json.loads(template.read_text(encoding="utf-8"))))
    for class_type, values in SMALL.items():
        made.inputs(class_type).update(values)
    return made


def drag_mass(graph: Graph, source: str) -> None:
    """The one wire between the two mass nodes."""
    graph.inputs("PavasCombinePhysics")["mass"] = [graph.node(source), 0]


def test_from_words_to_sound_then_one_drag_to_masses_by_hand(comfy, graph):
    scene = graph.add("PavasSavePhysics", scene=[graph.node("PavasPhysicsEditor"), 0], filename_prefix="e2e/full")
    shown = graph.add("PreviewImage", images=[graph.node("PavasDetectVlm"), 1])
    run = run_all(comfy, graph)
    path = saved(comfy, graph, run)
    samples, rate = sound_of(path)
    assert abs(len(samples) / rate - video_seconds(path)) < 0.05
    assert len(run.outputs[shown]["images"]) == 3, "the pictures the language model saw"
    for class_type in ("PavasDetectVlm", "PavasSegmentTrack", "PavasCut3rVelocity", "PavasEstimateMassVlm"):
        assert graph.node(class_type) in run.progress, f"{class_type} says how far it is"
    assert "PavasManualMass" not in graph.classes(run.executed), "what nothing hangs on does not run"
    (body,) = physics(comfy)["bodies"]
    assert body["object"]["name"] == "orange ball"
    assert body["mass"]["mass_kg"] == 0.6
    assert body["mass"]["source"] == "vlm:tiny-vlm"

    drag_mass(graph, "PavasManualMass")
    graph.inputs("PavasManualMass")["masses"] = "* = 4"
    again = run_all(comfy, graph)
    assert graph.classes(again.executed) - {"PavasSavePhysics"} == FROM_COMBINE | {"PavasManualMass"}
    (body,) = physics(comfy)["bodies"]
    assert (body["mass"]["mass_kg"], body["mass"]["source"]) == (4.0, "manual")
    assert graph[scene]


def physics(comfy) -> dict[str, Any]:
    """The scene that was saved last."""
    files = sorted((comfy.base / "output" / "e2e").glob("full*.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(files[-1].read_text(encoding="utf-8"))["value"]


def test_answers_and_tracks_are_kept_on_disk_and_can_be_cleared(comfy, graph):
    results = comfy.base / "user" / "pavas" / "results"
    run_all(comfy, graph)
    kept = {path.name for path in results.glob("*.result")}
    assert len(kept) >= 3, "the objects, the masses and the tracks"
    graph.inputs("PavasDetectVlm")["cache"] = "clear all"
    run_all(comfy, graph)
    graph.inputs("PavasDetectVlm").update({"cache": "off", "pictures": 4})
    run_all(comfy, graph)
    assert {path.name for path in results.glob("*.result")} <= kept


def test_cancel_stops_every_estimator(comfy, graph):
    for class_type, change in (
        ("PavasSegmentTrack", {"cache": "renew"}),
        ("PavasCut3rVelocity", {"time_scale": 0.9}),
    ):
        graph.inputs(class_type).update(change)
        assert comfy.run(graph, interrupt_at=graph.node(class_type)).interrupted, class_type


@pytest.mark.parametrize(
    ("class_type", "change", "words"),
    [
        ("PavasLoadVlm", {"model": "gone"}, "There is no vision-language model 'gone'"),
        ("PavasSegmentTrack", {"sam2": "gone.pt"}, "There is no SAM 2 'gone.pt'"),
        ("PavasSegmentTrack", {"florence": "none"}, "Nothing says where orange-ball-1 is"),
    ],
)
def test_a_missing_model_ends_in_a_sentence(comfy, graph, class_type, change, words):
    graph.inputs(class_type).update(change)
    assert words in comfy.run(graph).error["exception_message"]
