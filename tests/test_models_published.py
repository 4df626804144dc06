"""A published model from files: companions found by what they hold, decoding, and what is said when one is missing."""

from __future__ import annotations

import contextlib
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pavas_core.errors import Cancelled, PavasError, WeightsError
from pavas_core.models import decoding, load, synchformer
from pavas_core.models.network import NetworkConfig
from pavas_core.models.phy_adapter import AdapterConfig, PhyAdapter, no_physics
from pavas_core.models.published import load_published
from pavas_core.models.vae import MelVae, VaeConfig
from pavas_core.runtime import Runtime
from pavas_core.sampling.generate import generate
from pavas_core.sampling.physics import Physics
from pavas_core.sampling.vocode import vocode
from pavas_core.video.clip import clip_from_frames
from pavas_core.weights.adapters import save_adapter
from pavas_core.weights.folders import usable_files
from tests.published_files import (
    NETWORK,
    VAE,
    VOCODER,
    filled,
    write_clip,
    write_encoder_stubs,
    write_sound_files,
    write_synchformer,
)


@pytest.fixture
def folder(tmp_path):
    write_sound_files(tmp_path)
    write_encoder_stubs(tmp_path)
    return tmp_path


def loaded(folder, *more_folders, **options):
    folders = [folder, *more_folders]
    options = {"precision": "fp32", "runtime": Runtime()} | options
    return load_published(folder / "one.safetensors", files=usable_files(folders), folders=folders, **options)


def test_companions_are_found_by_their_tensors(folder):
    model = loaded(folder)
    chosen = model.companions
    assert (chosen.vae.name, chosen.vocoder.name) == ("two.pth", "three.pt")
    assert (chosen.clip.name, chosen.synchformer.name) == ("four.safetensors", "five.safetensors")
    assert model.sample_rate == 16000
    assert model.latent_rate_hz == 16000 / 256 / 2
    for name in ("one (custom), float32", "two.pth", "three.pt", "four.safetensors", "five.safetensors", "16000 Hz"):
        assert name in model.summary
    assert "mass and speed do not change the sound" in model.summary


def test_a_companion_must_fit_the_network(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    save_file(filled(MelVae(VaeConfig(128, 40, 16))), other / "wide.safetensors")
    assert loaded(folder, other).companions.vae.name == "two.pth"
    with pytest.raises(
        WeightsError, match=r"wide\.safetensors is a mel VAE \(custom\), and a mel VAE with 20 channels"
    ):
        loaded(folder, named={"vae": other / "wide.safetensors"})
    with pytest.raises(WeightsError, match=r"three\.pt is a BigVGAN vocoder \(custom\), and a mel VAE"):
        loaded(folder, named={"vae": folder / "three.pt"})


def test_the_larger_of_two_files_and_the_same_folder_come_first(folder, tmp_path):
    tensors = torch.load(folder / "two.pth", weights_only=True)
    halves = {name: value.half() for name, value in tensors.items()}
    save_file(halves, folder / "a_half.safetensors")
    assert loaded(folder).companions.vae.name == "two.pth"
    away = tmp_path / "away"
    away.mkdir()
    save_file({name: value.double() for name, value in tensors.items()}, away / "a_double.safetensors")
    assert loaded(folder, away).companions.vae.name == "two.pth"
    assert loaded(folder, named={"vae": folder / "a_half.safetensors"}).companions.vae.name == "a_half.safetensors"


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("two.pth", r"A mel VAE with 20 channels is missing: v1-16\.pth \(about 687 MB, licence cc-by-nc-4\.0\)"),
        (
            "three.pt",
            r"A BigVGAN vocoder of 80 mel bins is missing: best_netG\.pt \(about 449 MB, licence cc-by-nc-4\.0\)",
        ),
        ("four.safetensors", r"An open_clip CLIP model is missing: dfn5b_clip_vit_h_14_384\.bin \(3\.9 GB"),
        ("five.safetensors", r"A Synchformer visual encoder is missing: synchformer_state_dict\.pth \(950 MB"),
    ],
)
def test_a_missing_companion_is_named_with_the_command_that_gets_it(folder, gone, told):
    (folder / gone).unlink()
    with pytest.raises(WeightsError, match=told) as said:
        loaded(folder)
    assert sys.executable in str(said.value)
    assert f'--into "{folder}"' in str(said.value)


def test_precision_is_the_networks_and_not_the_decoders(folder):
    model = loaded(folder, precision="bf16")
    assert model.network.clip_cond_proj.weight.dtype is torch.bfloat16
    wave = model.decode(torch.zeros(1, 4, 20), runtime=Runtime())
    assert wave.dtype is torch.float32
    reference = loaded(folder).decode(torch.zeros(1, 4, 20), runtime=Runtime())
    assert torch.equal(wave, reference)


def test_eight_bits_halve_the_network_and_change_it_little(folder):
    full, small = loaded(folder), loaded(folder, precision="fp8")

    def stored_bytes(model):
        return sum(value.numel() * value.element_size() for value in model.network.parameters())

    assert stored_bytes(small) < 0.3 * stored_bytes(full)
    assert small.network.latent_std.dtype is torch.float32
    g = torch.Generator().manual_seed(0)
    clip, sync, text = (torch.randn(1, n, d, generator=g) for n, d in ((4, 1024), (8, 768), (77, 1024)))
    latent = torch.randn(1, 16, NETWORK.latent_dim, generator=g)

    def flow(network):
        return network(latent, torch.tensor([0.5]), network.prepare(clip, sync, text, 16))

    error = (flow(small.network) - flow(full.network)).norm() / flow(full.network).norm()
    assert 0 < error < 0.2


def test_the_time_path_is_exact_at_every_precision(folder):
    model = loaded(folder, precision="bf16")
    table = model.network.t_embed.frequencies()
    assert table.dtype is torch.float32
    assert torch.equal(table, loaded(folder).network.t_embed.frequencies())


def test_decoding_is_vae_then_vocoder_on_every_take(folder):
    model = loaded(folder)
    latent = torch.randn(2, 9, NETWORK.latent_dim, generator=torch.Generator().manual_seed(0))
    wave = model.decode(latent, runtime=Runtime())
    vae = load.load_vae(folder / "two.pth", dtype=torch.float32, encoder=True)
    vocoder = load.load_vocoder(folder / "three.pt", dtype=torch.float32)
    expected = vocoder(vae.decode(latent.transpose(1, 2)))[:, 0]
    assert wave.shape == (2, 2 * 9 * 256)
    torch.testing.assert_close(wave, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(1, 9, 40), (1, 20, 9), (1, 4, 8, 8)])
def test_a_latent_of_another_model_is_told(folder, shape):
    with pytest.raises(PavasError, match="connect the model that made it"):
        loaded(folder).decode(torch.zeros(shape), runtime=Runtime())


def test_long_sounds_are_decoded_in_pieces_without_seams(folder, monkeypatch):
    model = loaded(folder)
    latent = torch.randn(1, 150, NETWORK.latent_dim, generator=torch.Generator().manual_seed(0))
    whole = model.decode(latent, runtime=Runtime())
    monkeypatch.setattr(decoding, "PIECE_FRAMES", 70)
    seen = []
    pieces = model.decode(latent, runtime=Runtime(on_progress=lambda stage, done, total: seen.append((done, total))))
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=0)
    assert (4, 5) in seen

    def stop(stage, done, total):
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        model.decode(latent, runtime=Runtime(on_progress=stop))


class TestEncoding:
    """With a CLIP of one layer a tower and a Synchformer of one block."""

    CONFIG = NetworkConfig(20, 128, 4, 2, clip_dim=64, text_dim=64)

    @pytest.fixture(scope="class")
    def files(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("files")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(synchformer, "DEPTH", 1)
            write_sound_files(folder, self.CONFIG)
            write_clip(folder / "clip.safetensors", width=64, embed_dim=64, text_width=64)
            write_synchformer(folder / "sync.safetensors")
        return folder

    @pytest.fixture
    def model(self, files, tmp_path, monkeypatch):
        monkeypatch.setattr(synchformer, "DEPTH", 1)
        shutil.copytree(files, tmp_path, dirs_exist_ok=True)
        return loaded(tmp_path)

    @pytest.fixture
    def clip(self):
        rng = np.random.default_rng(0)
        return clip_from_frames(rng.integers(0, 255, (30, 48, 64, 3), dtype=np.uint8), 24.0)

    def test_a_clip_gives_tokens_at_the_trained_rates(self, model, clip):
        seen = model.encode_video(clip, None, runtime=Runtime())
        assert seen.duration_s == pytest.approx(1.25)
        assert seen.clip.shape == (10, 64)
        assert seen.sync.shape == (8 * 2, 768)
        assert seen.clip.dtype is torch.float32
        torch.testing.assert_close(seen.clip.norm(dim=-1), torch.ones(10))
        assert seen.encoder == model.encoder

    def test_encoders_stay_on_the_device_only_while_they_work(self, model, clip):
        lent = []

        @contextlib.contextmanager
        def lend(modules, device, activation_bytes):
            lent.append([type(module).__name__ for module in modules])
            yield

        model.encode_video(clip, None, runtime=Runtime(lend_device=lend))
        model.decode(torch.zeros(1, 4, 20), runtime=Runtime(lend_device=lend))
        assert lent == [["ClipEncoder"], ["SyncEncoder"], ["MelVae"], ["BigVgan"]]

    def test_a_prompt_is_encoded_once(self, model, monkeypatch):
        first = model.encode_text("a ball", runtime=Runtime())
        assert first.shape == (77, 64)
        calls = []
        monkeypatch.setattr(type(model._clip), "encode_tokens", lambda *rest: calls.append(1) or 1 / 0)
        assert torch.equal(model.encode_text("a ball", runtime=Runtime()), first)
        assert calls == []
        with pytest.raises(ZeroDivisionError):
            model.encode_text("a cup", runtime=Runtime())

    def test_a_second_take_and_an_edit_encode_nothing(self, model, clip, monkeypatch):
        seen = model.encode_video(clip, None, runtime=Runtime())
        options = {"prompt": "a ball", "negative_prompt": "music", "steps": 2, "runtime": Runtime()}
        one = generate(model, seen, seed=1, **options)
        for part in (model._clip, model._sync):
            monkeypatch.setattr(part, "forward", None)
        monkeypatch.setattr(type(model._clip), "encode_tokens", None)
        monkeypatch.setattr(type(model._clip), "encode_pictures", None)
        monkeypatch.setattr(type(model._sync), "encode_window", None)
        two = generate(model, seen, seed=2, cfg_strength=3.0, **options)
        assert one.shape == two.shape
        assert not torch.equal(one, two)

    def test_the_whole_way_to_a_sound_as_long_as_the_clip(self, model, clip):
        seen = model.encode_video(clip, None, runtime=Runtime())
        latent = generate(model, seen, prompt="a ball", steps=2, runtime=Runtime())
        (sound,) = vocode(model, latent, seen.duration_s, runtime=Runtime())
        assert sound.waveform.shape == (1, round(1.25 * 16000))

    @pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "fp8"])
    def test_a_fresh_adapter_is_the_network_alone_bit_for_bit(self, model, clip, precision):
        folder = model.companions.vae.parent
        torch.manual_seed(0)
        config = AdapterConfig(width=128, depth=4, feature_dim=64, hidden_dim=32, bottleneck=8)
        save_adapter(folder / "adapter.safetensors", PhyAdapter(config), self.CONFIG)
        plain = loaded(folder, precision=precision)
        adapted = loaded(folder, precision=precision, adapter=folder / "adapter.safetensors")
        seen = plain.encode_video(clip, None, runtime=Runtime())
        physics = Physics(adapted.name, *(adapted.adapter.encode(one, 40) for one in self.physics_and_none(config)))
        options = {"prompt": "a ball", "steps": 2, "runtime": Runtime()}
        assert torch.equal(generate(plain, seen, **options), generate(adapted, seen, physics, **options))

    def physics_and_none(self, config):
        like = torch.zeros(1)
        given = replace(
            no_physics(1, 10, config, like),
            features=torch.randn(1, 1, 10, 64, generator=torch.Generator().manual_seed(0)),
            present=torch.ones(1, 1, 10, dtype=torch.bool),
            mass_kg=torch.tensor([[2.0]]),
            speed_mps=torch.ones(1, 1, 10),
        )
        return given, no_physics(1, 1, config, like)

    def test_another_clip_model_does_not_fit(self, model):
        folder = model.companions.vae.parent
        (folder / "clip.safetensors").unlink()
        write_clip(folder / "other.safetensors", width=64, embed_dim=32, text_width=64)
        with pytest.raises(WeightsError, match="An open_clip CLIP model is missing"):
            loaded(folder)

    def test_logit_scale_may_be_a_list_of_one(self, model):
        path = model.companions.clip
        tensors = load_file(path)
        tensors["logit_scale"] = tensors["logit_scale"].reshape(1)
        save_file(tensors, path)
        load.load_clip(path, dtype=torch.float32)


def adapter_file(path, backbone=NETWORK):
    torch.manual_seed(0)
    config = AdapterConfig(width=backbone.hidden_dim, depth=backbone.depth, feature_dim=24, hidden_dim=32, bottleneck=8)
    save_adapter(path, PhyAdapter(config), backbone)
    return path


def test_an_adapter_is_attached_and_said(folder):
    path = adapter_file(folder / "adapter.safetensors")
    model = loaded(folder, adapter=path)
    assert model.adapter.config.feature_dim == 24
    assert "Phy-Adapter: yes" in model.summary
    wrong = adapter_file(folder / "wrong.safetensors", NetworkConfig(20, 192, 4, 2))
    with pytest.raises(WeightsError, match=r"wrong\.safetensors was trained for .*hidden_dim 192.*hidden_dim 128"):
        loaded(folder, adapter=wrong)


def test_a_file_that_is_no_network_is_told_before_anything_is_read(folder):
    with pytest.raises(WeightsError, match=r"two\.pth is a mel VAE \(custom\), and a sound network is needed"):
        load_published(folder / "two.pth", files=[], folders=[folder], runtime=Runtime())


def test_half_precision_files_compute_in_single_precision(folder):
    tensors = {name: value.half() for name, value in load_file(folder / "one.safetensors").items()}
    save_file(tensors, folder / "one.safetensors")
    network = loaded(folder).network
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert network.config == NETWORK
    assert VAE.latent_dim == NETWORK.latent_dim
    assert VOCODER.mel_bins == VAE.mel_bins
