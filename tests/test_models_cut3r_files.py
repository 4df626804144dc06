"""CUT3R's files: opened without running what they name, told by their tensors, loaded strictly."""

from __future__ import annotations

import argparse
import re
import zipfile

import pytest
import torch

from pavas_core.errors import PavasError, WeightsError
from pavas_core.models.cut3r import Cut3r
from pavas_core.models.cut3r_load import load_cut3r
from pavas_core.weights.cut3r_container import convert_container, read_container
from tests.parity import SHARED
from tests.test_models_cut3r import SMALL, pictures, small

MOCKS = SHARED / "parity" / "cut3r" / "public"
EXPRESSION = "ARCroco3DStereo(ARCroco3DStereoConfig(state_size=24, depth_mode=('exp', -inf, inf)))"


def aliased(network: Cut3r) -> dict[str, torch.Tensor]:
    """The state dict as released: four convolutions of every DPT head under two names."""
    state = dict(network.state_dict())
    twice = {
        re.sub(r"layer_rn\.(\d)", lambda level: f"layer{int(level[1]) + 1}_rn", name): value
        for name, value in state.items()
        if ".layer_rn." in name
    }
    return twice | state


def save(path, state, **extra):
    torch.save({"model": state, "args": argparse.Namespace(model=EXPRESSION, seed=0), "epoch": 3, **extra}, path)
    return path


def run(network):
    with torch.inference_mode():
        return network(pictures(1)[0], network.initial_state(1), first=True)[0]


@pytest.mark.skipif(not MOCKS.is_dir(), reason="the mock containers are not beside the repository")
@pytest.mark.parametrize("name", ["omegaconf", "namespace"])
def test_mock_containers_open(name):
    tensors = read_container(MOCKS / f"mock_container_{name}.pth")
    assert len(tensors) == 2
    assert all(isinstance(value, torch.Tensor) for value in tensors.values())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_container_loads_strictly_and_lean(tmp_path, prefix):
    network = small()
    path = save(tmp_path / "c.pth", {prefix + name: value for name, value in aliased(network).items()})
    model = load_cut3r(path, precision="fp32")
    assert (model.size, model.name) == (512, "c.pth (custom size)")
    assert not hasattr(model.network, "enc_blocks_ray_map")
    assert not hasattr(model.network.downstream_head, "dpt_cross")
    torch.testing.assert_close(run(model.network)[:3], run(network)[:3], atol=0, rtol=0)
    assert load_cut3r(path, precision="bf16").network.enc_blocks[0].attn.qkv.weight.dtype == torch.bfloat16


def test_linear_heads_are_told_by_their_tensors(tmp_path):
    model = load_cut3r(save(tmp_path / "any name.pth", small(dpt=False).state_dict()), precision="fp32")
    assert model.size == 224
    assert hasattr(model.network.downstream_head, "proj")


def test_converted_once_it_loads_as_safetensors(tmp_path):
    network = small()
    source, target = save(tmp_path / "c.pth", aliased(network)), tmp_path / "c.safetensors"
    assert convert_container(source, target) == len(network.state_dict())
    torch.testing.assert_close(run(load_cut3r(target, precision="fp32").network)[:3], run(network)[:3])
    with pytest.raises(WeightsError, match="exists already"):
        convert_container(source, target)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.pop("dec_norm.bias"), "1 missing, such as dec_norm.bias"),
        (lambda s: s.update(extra=torch.zeros(2)), "1 unknown, such as extra"),
        (lambda s: s.update({"enc_norm.bias": torch.zeros(3)}), r"wrong shape, such as enc_norm.bias \(3,\)"),
        (lambda s: s.pop("masked_img_token"), "missing, such as masked_img_token"),
        (lambda s: s.pop("register_tokens.weight"), "is no CUT3R checkpoint"),
    ],
)
def test_a_wrong_state_dict_is_told_in_one_sentence(tmp_path, change, told):
    state = dict(small().state_dict())
    change(state)
    with pytest.raises(WeightsError, match=told) as raised:
        load_cut3r(save(tmp_path / "c.pth", state))
    assert "\n" not in str(raised.value)


class Bomb:
    def __reduce__(self):
        import os

        return os.system, ("touch exploded",)


class StubBomb:
    """Hides behind an expected name: reduces it with the call of another."""

    def __reduce__(self):
        return argparse.Namespace, (Bomb(),)


@pytest.mark.parametrize("bomb", [Bomb(), StubBomb()])
def test_a_malicious_container_is_refused_and_not_run(tmp_path, monkeypatch, bomb):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "c.pth", small().state_dict(), optimizer=bomb)
    with pytest.raises(WeightsError, match="could run code") as raised:
        read_container(path)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_cut_short_file_is_told(tmp_path, keep):
    path = save(tmp_path / "c.pth", small().state_dict())
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(WeightsError, match="damaged or cut short"):
        read_container(path)


def test_other_files_are_told_apart(tmp_path):
    torch.save({"weights": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no named tensors"):
        read_container(tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "z.pth", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(WeightsError, match="damaged"):
        read_container(tmp_path / "z.pth")
    with pytest.raises(WeightsError, match="There is no file"):
        read_container(tmp_path / "none.pth")
    with pytest.raises(PavasError, match="no precision"):
        load_cut3r(save(tmp_path / "c.pth", small().state_dict()), precision="int4")


def test_the_released_size_is_recognised():
    from pavas_core.models.cut3r import VARIANTS
    from pavas_core.models.cut3r_load import identify_cut3r

    for name, config in VARIANTS.items():
        assert identify_cut3r(Cut3r(config, device="meta").state_dict(), "f")[1] == name
    assert identify_cut3r(Cut3r(SMALL, device="meta").state_dict(), "f")[0] == SMALL
