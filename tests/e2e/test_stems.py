"""Stems of the network in the box on a real server: a file an object and take, the mix their sum; takes to choose."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.comfy_client import Graph
from tests.e2e.test_quick_start import run_all, sound_of

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows" / "api"
TAKES = 2


@pytest.fixture
def graph(quick_start) -> Graph:
    """The quick start's physics with stems of pavas-nano-1, two takes of each."""
    graph = Graph(copy.deepcopy(quick_start))
    load = json.loads((WORKFLOWS / "nano.json").read_text())
    (loader,) = [node["inputs"] for node in load.values() if node["class_type"] == "PavasLoadModel"]
    clip, tracks = graph.node("PavasLoadVideo"), graph.node("PavasTrackMotion")
    model = graph.add("PavasLoadModel", **loader)
    seen = graph.add("PavasEncodeStems", model=[model, 0], video=[clip, 0], tracks=[tracks, 0])
    made = graph.add(
        "PavasSampleStems", model=[model, 0], stem_features=[seen, 0], prompt="", negative_prompt="", seed=0, steps=4,
        cfg_strength=1.0, physics_strength=1.0, takes=TAKES, channels="stereo", output_gain_db=-12,
        scene=[graph.node("PavasPhysicsEditor"), 0],
    )  # fmt: skip
    picked = graph.add("PavasPickTake", audio=[made, 0], take=2)
    inputs = {"audio": [made, 1], "names": [made, 2], "filename_prefix": "e2e/stem", "format": "wav float"}
    graph.add("PavasSaveStems", **inputs)
    graph.inputs("PavasSaveVideo")["audio"] = [picked, 0]
    graph.add("PavasOverlayVideo", video=[clip, 0], scene=[graph.node("PavasPhysicsEditor"), 0], audio=[picked, 0])
    return graph


def test_stems_are_files_that_add_up_and_an_edit_encodes_nothing(comfy, graph):
    run = run_all(comfy, graph)
    files = [
        comfy.base / "output" / one["subfolder"] / one["filename"]
        for one in run.outputs[graph.node("PavasSaveStems")]["audio"]
    ]
    assert len(files) % TAKES == 0
    assert len(files) >= 2 * TAKES
    for take in range(1, TAKES + 1):
        assert sum(f"_take{take}_" in path.name for path in files) == len(files) // TAKES
    sounds = [sound_of(path) for path in files]
    assert len({samples.size for samples, _ in sounds}) == 1, "equally long"

    shown = run.outputs[graph.node("PavasPickTake")]["pavas_takes"]
    assert len(shown) == TAKES
    chosen, _ = sound_of(comfy.base / "temp" / shown[1]["subfolder"] / shown[1]["filename"])
    parts = np.sum(
        [samples for (samples, _), path in zip(sounds, files, strict=True) if "_take2_" in path.name], axis=0
    )
    assert np.abs(np.clip(parts, -1, 1) - chosen).max() < 1e-3, "the mix is the sum"
    (video,) = run.outputs[graph.node("PavasOverlayVideo")]["images"]
    assert (comfy.base / "temp" / video["subfolder"] / video["filename"]).stat().st_size > 10_000

    graph.inputs("PavasManualMass")["masses"] = "* = 2"
    again = graph.classes(run_all(comfy, graph).executed)
    assert "PavasEncodeStems" not in again
    assert "PavasSampleStems" in again
