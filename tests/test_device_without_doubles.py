"""Apple's GPUs have no float64: no network asks a device for it.

The meta device stands for such a GPU; it computes shapes and types only, so what comes back from it is ones.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pavas_core.estimation.space.cut3r import reconstruct
from pavas_core.models import synchformer
from pavas_core.models.cut3r_load import Cut3rModel
from pavas_core.models.nano import load_nano
from pavas_core.models.network import NetworkConfig
from pavas_core.models.phy_adapter import AdapterConfig, PhyAdapter
from pavas_core.models.published import load_published
from pavas_core.runtime import Runtime
from pavas_core.sampling.generate import features_of_text, generate
from pavas_core.sampling.physics import encode_physics
from pavas_core.weights.adapters import save_adapter
from pavas_core.weights.folders import usable_files
from tests.physics_scenes import make_scene
from tests.published_files import write_clip, write_sound_files, write_synchformer
from tests.test_estimation_cut3r import clip
from tests.test_models_cut3r import small
from tests.test_sampling_generate import ball_scene, features, sample
from tests.test_sampling_generate import model as small_model

DOUBLES = (torch.float64, torch.complex128)


@contextmanager
def stays(modules, device, activation_bytes):
    """Networks move to the device for good: nothing can be copied back."""
    for module in modules:
        module.to(device)
    yield


RUNTIME = Runtime(device="meta", lend_device=stays)


def on_device(value) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "meta"


class WithoutDoubles(TorchDispatchMode):
    """Refuses float64 on the meta device; answers what is copied or read from there by ones."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = tree_leaves((args, kwargs))
        if function._schema.name in ("aten::item", "aten::is_nonzero", "aten::_local_scalar_dense") and on_device(
            args[0]
        ):
            return args[0].dtype.is_floating_point
        try:
            out = function(*args, **kwargs)
        except NotImplementedError:
            if not any(map(on_device, given)):
                raise
            wanted = next((value for value in given if isinstance(value, torch.dtype)), args[0].dtype)
            return torch.ones(args[0].shape, dtype=wanted)
        for value in tree_leaves(out):
            assert not (on_device(value) and value.dtype in DOUBLES), f"{function} makes {value.dtype} on the device"
        return out


def test_the_stand_in_refuses_doubles():
    with WithoutDoubles():
        single = torch.ones(3).to("meta")
        assert torch.equal((single * 2).cpu().double(), torch.ones(3, dtype=torch.float64))
        with pytest.raises(AssertionError, match="float64 on the device"):
            single.double()


def test_nano():
    model = load_nano(Runtime())
    with WithoutDoubles():
        latent = generate(model, features_of_text(model, 2.0), steps=2, cfg_strength=1.5, runtime=RUNTIME)
    assert latent.shape == (1, 63, 40)


def test_physics_and_windows():
    model, seen = small_model(adapter=True), features(9.0, objects=True)
    with WithoutDoubles():
        physics = encode_physics(model, seen, ball_scene(), runtime=RUNTIME)
        latent = sample(model, seen, physics, physics_cfg=1.5, runtime=RUNTIME)
    assert latent.shape == (1, 225, 6)


def test_published(tmp_path, monkeypatch):
    monkeypatch.setattr(synchformer, "DEPTH", 1)
    config = NetworkConfig(20, 128, 4, 2, clip_dim=64, text_dim=64)
    write_sound_files(tmp_path, config)
    write_clip(tmp_path / "clip.safetensors", width=64, embed_dim=64, text_width=64)
    write_synchformer(tmp_path / "sync.safetensors")
    adapter = PhyAdapter(AdapterConfig(width=128, depth=4, feature_dim=64, hidden_dim=32, bottleneck=8))
    save_adapter(tmp_path / "adapter.safetensors", adapter, config)
    scene = ball_scene()
    tracks = make_scene().tracks
    assert tracks is not None
    model = load_published(
        tmp_path / "one.safetensors",
        files=usable_files([tmp_path]),
        folders=[tmp_path],
        adapter=tmp_path / "adapter.safetensors",
        precision="fp32",
        runtime=Runtime(),
    )
    film = clip(20, height=tracks.height, width=tracks.width)
    with WithoutDoubles():
        seen = model.encode_video(film, tracks, runtime=RUNTIME)
        physics = encode_physics(model, seen, scene, runtime=RUNTIME)
        for given in (physics, None):
            latent = generate(model, seen, given, prompt="a ball", steps=2, runtime=RUNTIME)
        waves = model.decode(latent, runtime=RUNTIME)
    assert waves.shape[0] == 1
    assert [one.object_id for one in seen.objects] == ["ball-1"]


def test_cut3r():
    with torch.no_grad():
        network = small(dpt=False, ray_maps=False, all_heads=False).requires_grad_(False)
    model = Cut3rModel(network, "small", Path("small.pth"))
    with WithoutDoubles():
        views = list(reconstruct(clip(6), np.arange(6) / 10, model, window=4, overlap=2, runtime=RUNTIME).views)
    assert len(views) == 6
