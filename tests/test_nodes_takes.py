"""Pick Take and Overlay Video: what the nodes show lies in the temp folder, and what they pass on is what was asked."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

from pavas_core.errors import PavasError
from pavas_core.video.clip import iter_frames, open_clip
from tests import comfy_double
from tests.test_plots import filmed


@pytest.fixture
def pack(monkeypatch, tmp_path):
    comfy, extension = comfy_double.install(monkeypatch, tmp_path / "comfy")
    package = extension.__name__.rpartition(".")[0]
    return comfy, lambda name: importlib.import_module(f"{package}.{name}")


def sounds():
    return [{"waveform": torch.full((2, 1, 800), 0.1 * level), "sample_rate": 16000} for level in (1, 3)]


def test_the_chosen_take_is_passed_on_and_all_are_shown(pack):
    comfy, module = pack
    node = module("takes").PavasPickTake
    for number, level in enumerate((0.1, 0.1, 0.3, 0.3), start=1):
        made = node.execute(audio=sounds(), take=[number])
        assert made.args[0]["waveform"].shape == (1, 1, 800)
        assert float(made.args[0]["waveform"].mean()) == pytest.approx(level)
    shown = made.ui["pavas_takes"]
    assert len(shown) == 4
    for one in shown:
        assert one["type"] == "temp"
        assert (comfy.temp / one["subfolder"] / one["filename"]).stat().st_size > 0
        assert len(one["peaks"]) == module("takes").PEAKS
    with pytest.raises(PavasError, match="from 1 to 4"):
        node.execute(audio=sounds(), take=[5])


def test_the_overlay_is_a_video_as_long_as_the_clip_with_the_sound(pack, tmp_path):
    from pavas_core.audio import Audio
    from pavas_core.plots import save_overlay_video

    clip, scene = filmed()
    path = tmp_path / "drawn.mp4"
    save_overlay_video(clip, scene, path, Audio(np.full((1, 4000), 0.2, np.float32), 16000))
    drawn = open_clip(path)
    assert drawn.duration_s == pytest.approx(clip.duration_s, abs=0.05)
    assert drawn.has_audio
    before, after = (np.stack([frame.image for frame in iter_frames(one)]).astype(int) for one in (clip, drawn))
    assert len(before) == len(after)
    assert all(np.abs(one - other).max() > 60 for one, other in zip(before, after, strict=True)), "drawn in each"
