"""CUT3R on a real server: a tiny checkpoint in the published container, from file to velocity."""

from __future__ import annotations

import pytest
import torch

from tests.e2e.comfy_client import Graph
from tests.test_models_cut3r import small
from tests.test_models_cut3r_files import save


@pytest.fixture
def graph(comfy, quick_start) -> Graph:
    folder = comfy.base / "models" / "cut3r"
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        save(folder / "tiny.pth", small(dpt=False).state_dict())
    quick_start.inputs("PavasLoadVideo").update({"start_s": 0.3, "duration_s": 0.6})
    quick_start.add("PavasLoadCut3r", file="tiny.pth", precision="auto")
    quick_start.add(
        "PavasCut3rVelocity",
        video=[quick_start.node("PavasLoadVideo"), 0],
        tracks=[quick_start.node("PavasTrackMotion"), 0],
        cut3r=[quick_start.node("PavasLoadCut3r"), 0],
        scale="auto",
        known_size="",
        time_scale=1.0,
        method="robust",
        cache="off",
    )
    quick_start.inputs("PavasCombinePhysics")["velocity"] = [quick_start.node("PavasCut3rVelocity"), 0]
    quick_start.add("PreviewImage", images=[quick_start.node("PavasCut3rVelocity"), 1])
    return quick_start


def test_the_velocity_node_swaps_in_by_one_wire(comfy, graph):
    run = comfy.run(graph)
    assert run.error is None, run.error["exception_message"]
    assert len(run.outputs[graph.node("PreviewImage")]["images"]) == 8
    velocity = graph.node("PavasCut3rVelocity")
    assert velocity in run.progress
    assert graph.node("PavasCombinePhysics") in run.executed

    graph.inputs("PavasCut3rVelocity")["scale"] = "reconstruction"
    again = comfy.run(graph)
    assert again.error is None
    assert graph.node("PavasLoadCut3r") in again.cached


def test_cancel_stops_it(comfy, graph):
    graph.inputs("PavasCut3rVelocity")["time_scale"] = 0.9
    graph.inputs("PavasLoadVideo")["duration_s"] = 1.5
    run = comfy.run(graph, interrupt_at=graph.node("PavasCut3rVelocity"))
    assert run.interrupted
