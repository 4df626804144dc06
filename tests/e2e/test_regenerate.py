"""A part of a network's sound made anew on a real server: the rest stays to the sample, and nothing else runs again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.e2e.comfy_client import Graph
from tests.e2e.test_quick_start import run_all, sound_of

NANO = Path(__file__).resolve().parents[2] / "workflows" / "api" / "nano.json"
START_S, END_S = 2.0, 3.0
REACH_S = 0.3
"""How far the decoder spreads a latent token."""


def heard(comfy, run, node: str) -> tuple[np.ndarray, int]:
    """Sound of the only take that a Pick Take shows."""
    (shown,) = run.outputs[node]["pavas_takes"]
    return sound_of(comfy.base / "temp" / shown["subfolder"] / shown["filename"])


def test_a_part_is_made_anew_and_the_rest_stays(comfy):
    graph = Graph(json.loads(NANO.read_text(encoding="utf-8")))
    sampler, vocode = graph.node("PavasSampler"), graph.node("PavasVocode")
    before = graph.add("PavasPickTake", audio=[vocode, 0], take=1)
    run = run_all(comfy, graph)
    whole, rate = heard(comfy, run, before)

    part = graph.add("PavasRegeneratePart", latent=[sampler, 0], start_s=START_S, end_s=END_S)
    again = graph.add("PavasSampler", **graph[sampler]["inputs"] | {"seed": 11, "kept": [part, 0]})
    decoded = graph.add("PavasVocode", **graph[vocode]["inputs"] | {"latent": [again, 0]})
    after = graph.add("PavasPickTake", audio=[decoded, 0], take=1)
    run = run_all(comfy, graph)
    mended, _ = heard(comfy, run, after)
    assert sampler not in run.executed, "the first sound is not made again"

    assert mended.shape == whole.shape
    times = np.arange(whole.size) / rate
    outside = (times < START_S - REACH_S) | (times > END_S + REACH_S)
    inside = (times > START_S) & (times < END_S)
    loudest = np.abs(whole).max()
    assert np.abs(mended - whole)[outside].max() < 0.003 * loudest
    assert np.abs(mended - whole)[inside].max() > 0.05 * loudest
