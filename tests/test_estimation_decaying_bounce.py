"""A bounce that dies away, filmed: impacts and their sound get weaker with the true ones, bounce by bounce."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from pavas_core.simulation.clip_files import write_clip
from pavas_core.simulation.score import estimate_clip
from pavas_core.simulation.simulate import simulate
from pavas_core.synthesis.engine import synthesize_impacts


@pytest.mark.parametrize("seed", [900, 910, 922])
def test_levels_fall_with_the_bounces(seed: int, tmp_path) -> None:
    sim = simulate(seed, kind="drop", width=640, height=360, frame_rate=30.0, duration_s=3.0)
    scene = estimate_clip(write_clip(sim, tmp_path / "clip.mp4"), sim)
    pairs = []
    for true in sim.scene.impacts:
        near = [i for i in scene.impacts if abs(i.time_s - true.time_s) < 0.04]
        if true.pre_normal_mps > 0.5 and near:
            pairs.append((true, min(near, key=lambda i: abs(i.time_s - true.time_s))))
    assert len(pairs) >= 4
    mix = synthesize_impacts(scene).mix
    sound = np.abs(np.asarray(mix.waveform)).reshape(-1, mix.waveform.shape[-1]).max(axis=0)
    levels = [
        sound[max(0, int((i.time_s - 0.01) * mix.sample_rate)) :][: int(0.05 * mix.sample_rate)].max() for _, i in pairs
    ]
    truth = [true.impulse_ns for true, _ in pairs]
    assert spearmanr(truth, [i.impulse_ns for _, i in pairs])[0] >= 0.95
    assert spearmanr([true.energy_loss_j for true, _ in pairs], [i.energy_loss_j for _, i in pairs])[0] >= 0.95
    assert spearmanr(truth, levels)[0] >= 0.95
