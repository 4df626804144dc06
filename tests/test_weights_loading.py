"""Files of weights: told apart by their tensors, loaded strictly, and named in one sentence where they are wrong."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pavas_core.errors import WeightsError
from pavas_core.models import load, synchformer
from pavas_core.models.layers import TokenConv, lies_by_taps
from pavas_core.models.network import VARIANTS, FlowTransformer, NetworkConfig
from pavas_core.models.phy_adapter import AdapterConfig, PhyAdapter
from pavas_core.models.vae import VAE_VARIANTS, MelVae, VaeConfig
from pavas_core.models.vocoder import VOCODER_VARIANTS, BigVgan, VocoderConfig
from pavas_core.runtime import Runtime
from pavas_core.weights.adapters import save_adapter
from pavas_core.weights.contents import identify, role_of_names
from pavas_core.weights.names import tensor_names
from pavas_core.weights.reading import read_shapes, read_tensors
from tests.parity import fill, manifest, needs_goldens

TINY = NetworkConfig(20, 128, 4, 2, clip_dim=32, sync_dim=24, text_dim=16)
TINY_VAE = VaeConfig(80, 20, 16)
TINY_VOCODER = VocoderConfig(80, (4, 4), (8, 8), True, 16000, channels=32)


def filled(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        fill(module)
    return module


def network_file(path, config=TINY, extra=None, **options):
    tensors = filled(FlowTransformer(config)).state_dict()
    save_file({**tensors, **(extra or {})}, path, **options)
    return path


def weight_normed(tensors, new_spelling=False):
    """A generator's state dict as training writes it."""
    split = {}
    for name, value in tensors.items():
        if name.endswith(".weight"):
            base = name.removesuffix(".weight")
            norm = value.flatten(1).norm(dim=1).view(-1, *[1] * (value.ndim - 1))
            names = ("parametrizations.weight.original0", "parametrizations.weight.original1")
            gain, direction = names if new_spelling else ("weight_g", "weight_v")
            split[f"{base}.{gain}"], split[f"{base}.{direction}"] = norm, value * 3
        else:
            split[name] = value
    return split


PUBLISHED = {
    **{name: ("network", name) for name in VARIANTS},
    "tiny_v1": ("network", "custom"),
    "tiny_v2": ("network", "custom"),
    "vae_16k": ("vae", "16k"),
    "vae_44k": ("vae", "44k"),
    "bigvgan_16k_folded": ("vocoder", "16k"),
    "bigvgan_16k_weightnorm": ("vocoder", "16k"),
    "bigvgan_v2_44k_folded": ("vocoder", "44k"),
    "bigvgan_v2_44k_weightnorm": ("vocoder", "44k"),
    "synchformer_visual": ("synchformer", ""),
    "open_clip_vit_h_14_378_quickgelu": ("clip", "ViT-H-14-378"),
}


@needs_goldens
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_manifest_is_told_by_its_tensors(name):
    shapes = manifest(name)
    contents = identify(shapes, "file.pth")
    assert (contents.role, contents.variant) == PUBLISHED[name]
    assert role_of_names(shapes) == contents.role
    assert role_of_names({"module." + key for key in shapes}) == contents.role


@needs_goldens
@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith(("vae", "bigvgan", *VARIANTS))])
def test_every_published_manifest_is_met_tensor_by_tensor(name):
    shapes = {key: torch.empty(shape, device="meta") for key, shape in manifest(name).items()}
    contents = identify(manifest(name), "file.pth")
    build = {"network": FlowTransformer, "vae": MelVae, "vocoder": BigVgan}[contents.role]
    if name.endswith("weightnorm"):
        shapes = {key: torch.empty(shape) for key, shape in manifest(name.replace("weightnorm", "folded")).items()}
    load.check_tensors(build(contents.config, device="meta"), shapes, "file.pth", str(contents))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_network_loads_from_both_formats_and_every_float_type(tmp_path, dtype, suffix):
    expected = {name: value.to(dtype) for name, value in filled(FlowTransformer(TINY)).state_dict().items()}
    path = tmp_path / ("anything" + suffix)
    save_file(expected, path) if suffix == ".safetensors" else torch.save(expected, path)
    loaded = load.load_backbone(path, dtype=torch.float32)
    assert loaded.adapter is None
    assert loaded.contents.config == TINY
    for name, value in loaded.network.state_dict().items():
        assert value.dtype is torch.float32
        assert torch.equal(value, expected[name].float()), name


def test_computed_tables_in_a_file_are_dropped(tmp_path):
    extra = {"t_embed.freqs": torch.ones(128), "latent_rot": torch.ones(2), "clip_rot": torch.ones(2)}
    load.load_backbone(network_file(tmp_path / "a.safetensors", extra=extra), dtype=torch.float32)


def test_what_training_wraps_around_a_network_is_taken_off(tmp_path):
    tensors = filled(FlowTransformer(TINY)).state_dict()
    path = tmp_path / "a.pt"
    torch.save({"epoch": 3, "state_dict": {"module." + name: value for name, value in tensors.items()}}, path)
    loaded = load.load_backbone(path, dtype=torch.float32)
    assert torch.equal(loaded.network.sync_pos_emb, tensors["sync_pos_emb"])


@pytest.mark.parametrize("form", ["folded", "old", "new", "wrapped"])
def test_a_vocoder_loads_folded_and_weight_normed(tmp_path, form):
    module = filled(BigVgan(TINY_VOCODER))
    tensors = module.state_dict()
    if form != "folded":
        tensors = weight_normed(tensors, new_spelling=form == "new")
    path = tmp_path / "best_netG.pt"
    torch.save({"generator": tensors} if form == "wrapped" else tensors, path)
    loaded = load.load_vocoder(path, dtype=torch.float32)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_a_vae_is_folded_once_and_in_single_precision(tmp_path):
    raw = filled(MelVae(TINY_VAE))
    halves = {name: value.half() for name, value in raw.state_dict().items()}
    path = tmp_path / "vae.safetensors"
    save_file(halves, path)
    from pavas_core.models.vae import fold_state_dict

    reference = MelVae(TINY_VAE)
    reference.load_state_dict(fold_state_dict({name: value.float() for name, value in halves.items()}))
    latent = torch.randn(1, 20, 5, generator=torch.Generator().manual_seed(0))
    decoder = load.load_vae(path, dtype=torch.float32)
    assert not hasattr(decoder, "encoder")
    assert torch.equal(decoder.decode(latent), reference.decode(latent))
    mel = torch.randn(1, 80, 8, generator=torch.Generator().manual_seed(1))
    both = load.load_vae(path, dtype=torch.float32, encoder=True)
    assert torch.equal(both.encode(mel)[0], reference.encode(mel)[0])


def test_synchformer_is_found_inside_the_whole_file_and_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(synchformer, "DEPTH", 1)
    own = {
        name: torch.zeros(value.shape, dtype=torch.float16)
        for name, value in synchformer.SyncEncoder(device="meta").state_dict().items()
    }
    own["cls_token"] += 2
    whole = {"vfeat_extractor." + name: value for name, value in own.items()}
    whole["afeat_extractor.cls_token"] = torch.ones(3)
    for name, tensors in (("whole", whole), ("alone", own)):
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors, path)
        loaded = load.load_synchformer(path, dtype=torch.bfloat16)
        assert loaded.cls_token.dtype is torch.bfloat16
        assert loaded.cls_token.eq(2).all()


class TestWrongFiles:
    """Each is refused in one sentence that says what it is and what to do."""

    def refused(self, path, match, loader=load.load_backbone):
        with pytest.raises(WeightsError, match=match) as said:
            loader(path, dtype=torch.float32)
        text = str(said.value)
        assert text.endswith(".")
        assert ". " not in text.replace(path.name, ""), text
        assert "\n" not in text

    def test_swapped(self, tmp_path):
        path = tmp_path / "mmaudio_large_44k.safetensors"
        save_file(filled(MelVae(TINY_VAE)).state_dict(), path)
        self.refused(path, r"is a mel VAE \(custom\), and a sound network is needed here")

    def test_of_another_project(self, tmp_path):
        path = tmp_path / "sd.safetensors"
        save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.ones(2)}, path)
        self.refused(path, "is an image or video diffusion model")

    def test_unknown(self, tmp_path):
        path = tmp_path / "mine.pth"
        torch.save({"layer.weight": torch.ones(2)}, path)
        self.refused(path, r"unknown weights \(1 tensors, such as layer.weight\)")

    def test_transformers_clip(self, tmp_path):
        path = tmp_path / "clip.safetensors"
        save_file({"vision_model.embeddings.patch_embedding.weight": torch.ones(2)}, path)
        self.refused(path, "open_clip_pytorch_model.bin")

    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    @pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
    def test_cut_short(self, tmp_path, suffix, share):
        whole = tmp_path / "whole"
        tensors = filled(FlowTransformer(TINY)).state_dict()
        save_file(tensors, whole) if suffix == ".safetensors" else torch.save(tensors, whole)
        path = tmp_path / ("cut" + suffix)
        path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
        self.refused(path, "is damaged or cut short")
        with pytest.raises(WeightsError, match="cut short"):
            read_shapes(path)

    def test_empty_pointer_and_web_page(self, tmp_path):
        path = tmp_path / "a.pth"
        for content, said in (
            (b"", "is an empty file"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a Git LFS pointer"),
            (b"<!doctype html><html>login</html>", "is a web page"),
            (b"just some text that is long enough", "is no file of weights"),
        ):
            path.write_bytes(content)
            self.refused(path, said)

    def test_missing(self, tmp_path):
        self.refused(tmp_path / "nowhere.pth", "There is no file")

    def test_lacks_and_adds_tensors(self, tmp_path):
        tensors = filled(FlowTransformer(TINY)).state_dict()
        tensors.pop("clip_cond_proj.weight")
        tensors["fused_blocks.0.extra"] = torch.ones(1)
        path = tmp_path / "a.safetensors"
        save_file(tensors, path)
        self.refused(path, "1 missing, such as clip_cond_proj.weight; 1 unknown, such as fused_blocks.0.extra")

    def test_wrong_shape(self, tmp_path):
        tensors = filled(FlowTransformer(TINY)).state_dict()
        tensors["text_cond_proj.bias"] = torch.ones(7)
        path = tmp_path / "a.safetensors"
        save_file(tensors, path)
        self.refused(path, r"text_cond_proj.bias \(7,\) instead of \(128,\)")

    def test_a_pickle_that_runs_code(self, tmp_path):
        """In torch's zip format and its old one; the code must not have run, not even when only listed."""
        proof = tmp_path / "ran"

        class Evil:
            def __reduce__(self):
                return (open, (str(proof), "w"))

        names = dict.fromkeys(FlowTransformer(TINY, device="meta").state_dict(), 0)
        zipped = tmp_path / "zip.pth"
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({**names, "x": Evil()}, protocol=2))
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/byteorder", "little")
        plain = tmp_path / "plain.pth"
        plain.write_bytes(pickle.dumps({**names, "x": Evil()}, protocol=2))
        for path in (zipped, plain):
            tensor_names(path)
            self.refused(path, "could run code|damaged")
            with pytest.raises(WeightsError):
                read_tensors(path)
        assert not proof.exists()
        self.refused(zipped, "holds Python objects other than tensors, which could run code, and was not opened")


@pytest.mark.parametrize("legacy", [False, True])
def test_names_are_read_without_torch_from_every_format(tmp_path, legacy):
    tensors = filled(BigVgan(TINY_VOCODER)).state_dict()
    torch_file, safe_file = tmp_path / "a.pt", tmp_path / "a.safetensors"
    torch.save({"generator": tensors}, torch_file, _use_new_zipfile_serialization=not legacy)
    save_file(tensors, safe_file)
    for path in (torch_file, safe_file):
        assert tensor_names(path) >= set(tensors)
        assert role_of_names(tensor_names(path)) == "vocoder"


def test_names_of_a_damaged_file_are_none(tmp_path):
    for content in (b"", b"PK\x03\x04cut", b"\x10\0\0\0\0\0\0\0{cut", b"\x80\x02cut"):
        path = tmp_path / "a.pth"
        path.write_bytes(content)
        assert tensor_names(path) == frozenset()


def adapter(backbone=TINY, **changes):
    torch.manual_seed(0)
    config = AdapterConfig(
        width=backbone.hidden_dim, depth=backbone.depth, feature_dim=24, hidden_dim=32, bottleneck=8, **changes
    )
    return PhyAdapter(config)


class TestAdapters:
    def test_beside_its_network(self, tmp_path):
        network, made = network_file(tmp_path / "n.safetensors"), adapter(gate_context="joint", mass_unit_kg=0.001)
        save_adapter(tmp_path / "a.safetensors", made, TINY)
        loaded = load.load_backbone(network, adapter=tmp_path / "a.safetensors", dtype=torch.bfloat16)
        assert loaded.adapter.config == made.config
        assert loaded.network.clip_cond_proj.weight.dtype is torch.bfloat16
        for name, value in loaded.adapter.state_dict().items():
            assert torch.equal(value, made.state_dict()[name]), name

    def test_in_one_file_with_its_network(self, tmp_path):
        backbone, made = filled(FlowTransformer(TINY)).state_dict(), adapter()
        save_adapter(tmp_path / "full.safetensors", made, TINY, backbone)
        loaded = load.load_backbone(tmp_path / "full.safetensors", dtype=torch.float32)
        assert loaded.contents.has_adapter
        assert loaded.adapter.config == made.config
        assert torch.equal(loaded.network.clip_cond_proj.weight, backbone["clip_cond_proj.weight"])

    def test_low_rank_updates_are_added_to_linear_and_convolution_weights(self, tmp_path):
        network = network_file(tmp_path / "n.safetensors")
        g = torch.Generator().manual_seed(5)
        linear, conv = "clip_cond_proj", "fused_blocks.0.linear1"
        low_rank = {
            f"low_rank.{linear}.down": torch.randn(3, 128, generator=g),
            f"low_rank.{linear}.up": torch.randn(128, 3, generator=g),
            f"low_rank.{conv}.down": torch.randn(2, 128, 3, generator=g),
            f"low_rank.{conv}.up": torch.randn(128, 2, generator=g),
        }
        save_adapter(tmp_path / "a.safetensors", adapter(), TINY, low_rank)
        before = read_tensors(network).tensors
        after = load.load_backbone(
            network, adapter=tmp_path / "a.safetensors", dtype=torch.float32
        ).network.state_dict()
        for name in (linear, conv):
            up, down = low_rank[f"low_rank.{name}.up"], low_rank[f"low_rank.{name}.down"]
            update = torch.einsum("or,r...->o...", up, down)
            torch.testing.assert_close(after[f"{name}.weight"], before[f"{name}.weight"] + update)
        assert torch.equal(after["text_cond_proj.weight"], before["text_cond_proj.weight"])

    def test_for_another_network_is_explained(self, tmp_path):
        network = network_file(tmp_path / "n.safetensors")
        save_adapter(tmp_path / "a.safetensors", adapter(VARIANTS["small_44k"]), VARIANTS["small_44k"])
        with pytest.raises(
            WeightsError, match=r"was trained for small_44k \(latent_dim 40, .*and this network is a net"
        ):
            load.load_backbone(network, adapter=tmp_path / "a.safetensors", dtype=torch.float32)

    def test_without_its_description_is_explained(self, tmp_path):
        network = network_file(tmp_path / "n.safetensors")
        tensors = {"phy_adapter." + name: value for name, value in adapter().state_dict().items()}
        save_file(tensors, tmp_path / "a.safetensors")
        with pytest.raises(WeightsError, match="does not say how it is built"):
            load.load_backbone(network, adapter=tmp_path / "a.safetensors", dtype=torch.float32)

    def test_a_network_given_as_adapter_is_refused(self, tmp_path):
        network = network_file(tmp_path / "n.safetensors")
        with pytest.raises(WeightsError, match=r"is a sound network .*, and a Phy-Adapter is needed"):
            load.load_backbone(network, adapter=network, dtype=torch.float32)


def test_published_variants_are_known_by_their_configuration():
    assert VAE_VARIANTS["44k"].latent_dim == VARIANTS["large_44k_v2"].latent_dim
    assert VOCODER_VARIANTS["44k"].mel_bins == VAE_VARIANTS["44k"].mel_bins


def test_the_order_of_weights_in_memory_does_not_change_the_network(tmp_path):
    path = network_file(tmp_path / "a.safetensors")
    for dtype, eight_bits in ((torch.float32, False), (torch.bfloat16, False), (torch.float32, True)):
        network = load.load_backbone(path, dtype=dtype, eight_bits=eight_bits).network
        convolutions = [module for module in network.modules() if isinstance(module, TokenConv)]
        assert convolutions
        assert all(lies_by_taps(one.weight) for one in convolutions)
        one = max(convolutions, key=lambda module: module.weight.shape[2])
        assert one.weight.shape[2] == 7
        tokens = torch.randn(2, 11, one.weight.shape[1], generator=torch.Generator().manual_seed(0)).to(dtype)
        expected = torch.nn.functional.conv1d(tokens.transpose(1, 2), one.weight.to(dtype), padding=3).transpose(1, 2)
        if one.bias is not None:
            expected = expected + one.bias.to(dtype)
        tolerance = 1e-5 if dtype == torch.float32 else 2e-2
        torch.testing.assert_close(one(tokens), expected, atol=tolerance, rtol=tolerance)
        names = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        assert names == {
            name: tuple(value.shape) for name, value in FlowTransformer(network.config).state_dict().items()
        }


def test_a_network_for_a_graphics_card_keeps_its_order(tmp_path):
    path = network_file(tmp_path / "a.safetensors")
    network = load.load_backbone(path, dtype=torch.float32, runtime=Runtime(device="cuda")).network
    assert not any(lies_by_taps(module.weight) for module in network.modules() if isinstance(module, TokenConv))
