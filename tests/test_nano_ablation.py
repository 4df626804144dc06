"""Rows of table 3 are judged on scenes that the network takes as they are."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import nano_ablation
from pavas_core.models.nano import load_nano
from pavas_core.models.nano_config import ablated_config
from pavas_core.runtime import Runtime
from pavas_core.training.loop import NanoNetwork


def test_a_row_is_measured_on_held_out_scenes(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(nano_ablation, "SCENES", 2)
    codec = load_nano(Runtime()).codec
    judged = nano_ablation.judged_scenes(tmp_path / "judged.pt", codec)
    adapter = ablated_config("mass", "delta")
    torch.save(NanoNetwork(adapter).state_dict(), tmp_path / "best.pt")
    run = nano_ablation.measured(tmp_path, adapter, codec, judged)
    assert np.shape(run["true"]) == np.shape(run["made"]) == (2, len(nano_ablation.CHANGES))
    assert np.ptp(run["true"], axis=1).min() > 1.0  # the truth follows mass and speed
    assert np.ptp(run["made"], axis=1).max() < 1e-3  # an adapter that learned nothing does not
    assert abs(nano_ablation.figures([run])["mass slope"]) < 1e-3
