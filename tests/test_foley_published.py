"""``foley --engine published``: a clip's sound by a published network, on small files in the published layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
import torch

from pavas_core.cli import main
from pavas_core.errors import WeightsError
from pavas_core.models import synchformer
from pavas_core.models.network import NetworkConfig
from pavas_core.models.phy_adapter import AdapterConfig, PhyAdapter
from pavas_core.weights.adapters import save_adapter
from pavas_core.weights.companions import network_named
from pavas_core.weights.folders import usable_files
from tests.published_files import write_clip, write_sound_files, write_synchformer

EXAMPLE = Path(__file__).resolve().parents[1] / "workflows" / "clips" / "example.mp4"
NETWORK = NetworkConfig(20, 128, 4, 2, clip_dim=64, text_dim=64)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synchformer, "DEPTH", 1)
        write_sound_files(folder, NETWORK)
        write_clip(folder / "clip.safetensors", width=64, embed_dim=64, text_width=64)
        write_synchformer(folder / "sync.safetensors")
        torch.manual_seed(0)
        adapter = PhyAdapter(AdapterConfig(width=128, depth=4, feature_dim=64, hidden_dim=32, bottleneck=8))
        with torch.no_grad():
            for name, value in adapter.named_parameters():
                if ".up." in name:
                    value.normal_(0, 0.2)
        save_adapter(folder / "adapter.safetensors", adapter, NETWORK)
    return folder


@pytest.fixture
def foley(models, tmp_path, monkeypatch, capsys):
    """Run the command and return the first take's samples with what was printed."""
    monkeypatch.setattr(synchformer, "DEPTH", 1)
    monkeypatch.setenv("PAVAS_MODELS", str(models))

    def run(*options: str, clip_s: str = "0.8"):
        out = tmp_path / "out.wav"
        given = ["foley", str(EXAMPLE), "-o", str(out), "--duration-s", clip_s, "--engine", "published"]
        assert main([*given, "--steps", "2", "--mono", "--sample-rate", "16000", "--device", "cpu", *options]) == 0
        return soundfile.read(out)[0], capsys.readouterr().out

    return run


def test_the_sound_is_as_long_as_the_clip_and_the_prompt_is_said(foley):
    sound, said = foley()
    assert sound.shape == (12800,)
    assert abs(sound).max() > 0
    assert "Prompt (another one by --prompt): leather ball" in said
    other, said = foley("--prompt", "glass breaks")
    assert "Prompt (another one by --prompt): glass breaks" in said
    assert abs(sound - other).max() > 0


def test_masses_are_heard_with_an_adapter(foley, models):
    options = ("--adapter", str(models / "adapter.safetensors"), "--model", "one.safetensors", "--prompt", "a ball")
    light, heavy = (foley("--mass", f"*={kg}", *options)[0] for kg in ("0.1", "9"))
    assert abs(light - heavy).max() > 0


def test_a_network_is_found_by_path_name_and_catalogue(models, tmp_path):
    files = usable_files([models])
    assert network_named("", files, [models]) == models / "one.safetensors"
    assert network_named(str(models / "one.safetensors"), [], [tmp_path]) == models / "one.safetensors"
    published = tmp_path / "sub" / "mmaudio_small_16k.pth"
    published.parent.mkdir()
    published.hardlink_to(models / "one.safetensors")
    assert network_named("small_16k", usable_files([tmp_path / "sub"]), [tmp_path]) == published
    for name in ("", "large_44k_v2"):
        with pytest.raises(WeightsError, match=r"The network large_44k_v2 is missing: mmaudio_large_44k_v2\.pth"):
            network_named(name, [], [tmp_path])
    with pytest.raises(WeightsError, match="'mine' is no published file"):
        network_named("mine", files, [models])
