"""The published networks, rebuilt: names and shapes equal the manifests, numbers equal the public reference."""

from __future__ import annotations

import json

import pytest
import torch

from pavas_core.models.mel import MEL_VARIANTS, log_mel, mel_filters
from pavas_core.models.network import VARIANTS, FlowTransformer, NetworkConfig, config_from_shapes, nearest_exact_index
from pavas_core.models.synchformer import PREFIX, SyncEncoder
from pavas_core.models.vae import VAE_VARIANTS, MelVae, fold_state_dict
from pavas_core.models.vocoder import VOCODER_VARIANTS, BigVgan, antialias_filter
from pavas_core.models.vocoder import fold_state_dict as fold_vocoder
from pavas_core.sampling.flow import Branch, guided_flow, integrate
from tests.parity import FOLDER, fill, goldens, manifest, needs_goldens, shapes

pytestmark = needs_goldens


@pytest.fixture(autouse=True)
def _no_grad():
    with torch.inference_mode():
        yield


def tiny(version: int) -> FlowTransformer:
    config = NetworkConfig(20, 128, 4, 2, version=version, clip_dim=32, sync_dim=24, text_dim=16)
    network = FlowTransformer(config).eval()
    fill(network)
    return network


@pytest.mark.parametrize("name", VARIANTS)
def test_published_network_names_and_shapes(name):
    network = FlowTransformer(VARIANTS[name], device="meta")
    assert shapes(network) == manifest(name)
    assert config_from_shapes(manifest(name)) == VARIANTS[name]


@pytest.mark.parametrize("version", [1, 2])
def test_tiny_network_matches_the_reference(version):
    network, golden = tiny(version), goldens(f"tiny_v{version}")
    assert shapes(network) == manifest(f"tiny_v{version}")
    given = network.prepare(golden["in.clip_f"], golden["in.sync_f"], golden["in.text_f"], 50)
    checks = {
        "cond.clip_f": given.clip,
        "cond.sync_f": given.sync_per_token,
        "cond.text_f": given.text,
        "cond.clip_f_c": given.clip_pooled,
        "cond.text_f_c": given.text_pooled,
        "flow_t0.3": network(golden["in.x0"], golden["in.t"], given),
        "flow_t_mixed": network(golden["in.x0"], golden["in.t_mixed"], given),
    }
    longer = network.prepare(golden["in.long.clip_f"], golden["in.long.sync_f"], golden["in.text_f"], 83)
    checks["long.flow_t0.3"] = network(golden["in.long.x0"], golden["in.t"], longer)
    for name, value in checks.items():
        torch.testing.assert_close(
            value, golden[name], atol=2e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("version", [1, 2])
def test_sampler_matches_the_reference(version):
    network, golden = tiny(version), goldens(f"tiny_v{version}")
    like = golden["in.clip_f"]
    given = network.prepare(like, golden["in.sync_f"], golden["in.text_f"], 50)
    empty_clip, empty_sync = network.empty_clip(2, 16, like), network.empty_sync(2, 48, like)
    null = network.prepare(empty_clip, empty_sync, network.empty_text(2, like), 50)
    negative = network.prepare(empty_clip, empty_sync, golden["in.neg_text_f"], 50)
    torch.testing.assert_close(null.sync_per_token, golden["empty.sync_f"], atol=2e-5, rtol=0)
    for name, branches in (
        ("x1.cfg4.5_empty", [Branch(given, factor=4.5), Branch(null, factor=-3.5)]),
        ("x1.cfg4.5_negative", [Branch(given, factor=4.5), Branch(negative, factor=-3.5)]),
        ("x1.cfg0_conditional_only", [Branch(given)]),
    ):
        x1 = integrate(lambda x, t, branches=branches: guided_flow(network, x, t, branches), golden["in.x0"], 5)
        torch.testing.assert_close(x1, golden[name], atol=2e-4, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
        if name.endswith("negative"):
            torch.testing.assert_close(network.unnormalize(x1), golden[f"{name}.unnormalized"], atol=2e-4, rtol=0)
    start = golden["x1.cfg0_conditional_only"]
    prior = integrate(lambda x, t: guided_flow(network, x, t, [Branch(given)]), start, 5, start=1.0, end=0.0)
    torch.testing.assert_close(prior, golden["x0.to_prior_5_steps_from_x1"], atol=2e-4, rtol=0)


def test_sync_rows_are_picked_in_single_precision():
    for name, table in json.loads((FOLDER / "upsample_index.json").read_text()).items():
        source, length = map(int, name.split("->"))
        assert nearest_exact_index(length, source).tolist() == table, name


@pytest.mark.parametrize("rate", ["16k", "44k"])
def test_mel_matches_the_reference_and_librosa(rate):
    import librosa

    config, golden = MEL_VARIANTS[rate], goldens(f"mel_{rate}")
    basis = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.bins, fmin=0, fmax=config.f_max
    )
    torch.testing.assert_close(mel_filters(config), torch.from_numpy(basis), atol=1e-8, rtol=0)
    base = 10.0 if config.log10 else torch.e
    for length in ("hop_multiple", "odd_length"):
        ours, theirs = log_mel(golden[f"in.wave_{length}"], config), golden[f"mel_{length}"]
        torch.testing.assert_close(base**ours, base**theirs, atol=1e-5, rtol=1e-5)
    silence = log_mel(torch.zeros(1, 20 * config.hop), config)
    torch.testing.assert_close(silence, golden["mel_silence"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("rate", ["16k", "44k"])
def test_vae_matches_the_reference(rate):
    vae, golden = MelVae(VAE_VARIANTS[rate]).eval(), goldens(f"vae_{rate}")
    assert shapes(vae) == manifest(f"vae_{rate}")
    fill(vae, keep=("data_mean", "data_std"))
    vae.load_state_dict(fold_state_dict(vae.state_dict()))
    normalised, mel = golden["decode.mel_normalized"], golden["decode.mel"]
    torch.testing.assert_close(vae.decoder(golden["in.latent"]), normalised, atol=1e-4, rtol=0)
    # The per-bin statistics are part of the published file; here they follow from the golden pair.
    first, last = normalised[..., :1], normalised[..., 1:2]
    vae.data_std.copy_((mel[..., :1] - mel[..., 1:2]) / (first - last))
    vae.data_mean.copy_(mel[..., :1] - first * vae.data_std)
    mean, log_variance = vae.encode(golden["in.mel"])
    torch.testing.assert_close(mean, golden["encode.mean"], atol=5e-4, rtol=0)
    torch.testing.assert_close(log_variance, golden["encode.logvar"], atol=5e-4, rtol=0)
    torch.testing.assert_close(vae.encode(golden["in.mel_odd"])[0], golden["encode_odd.mean"], atol=5e-4, rtol=0)


@pytest.mark.parametrize(("rate", "name"), [("16k", "bigvgan_16k"), ("44k", "bigvgan_v2_44k")])
def test_vocoder_matches_the_reference(rate, name):
    vocoder, golden = BigVgan(VOCODER_VARIANTS[rate]).eval(), goldens(f"bigvgan_{rate}")
    assert shapes(vocoder) == manifest(f"{name}_folded")
    torch.testing.assert_close(antialias_filter(), golden["const.antialias_filter"], atol=1e-7, rtol=0)
    fill(vocoder, keep=("filter",))
    state = vocoder.state_dict()
    for key, value in state.items():
        if ".convs2." in key and key.endswith("weight"):
            value.mul_(0.25)
    state["conv_post.weight"].mul_(0.5)
    torch.testing.assert_close(vocoder(golden["in.mel"]), golden["wave"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["bigvgan_16k", "bigvgan_v2_44k"])
def test_weight_norm_folds_from_both_spellings(name):
    folded = manifest(f"{name}_folded")
    split = {key: torch.randn(shape) for key, shape in manifest(f"{name}_weightnorm").items()}
    renamed = {
        key.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): value
        for key, value in split.items()
    }
    old, new = fold_vocoder(split), fold_vocoder(renamed)
    assert {key: list(value.shape) for key, value in old.items()} == folded
    assert old.keys() == new.keys()
    assert all(torch.equal(old[key], new[key]) for key in old)


def test_synchformer_matches_the_reference():
    encoder, golden = SyncEncoder().eval(), goldens("synchformer")
    assert shapes(encoder, PREFIX) == manifest("synchformer_visual")
    fill(encoder, prefix=PREFIX)
    frames = (golden["in.frames_u8"][0].float() / 255 - 0.5) / 0.5
    torch.testing.assert_close(encoder(frames), golden["features"][0], atol=5e-4, rtol=0)
