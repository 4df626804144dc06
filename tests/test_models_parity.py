"""The published networks, rebuilt: names and shapes equal the manifests, numbers equal the public reference."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from pavas_core.cli import main
from pavas_core.evaluation.parity.cases import metadata
from pavas_core.evaluation.parity.checks import find_checks, run_check, seed_of
from pavas_core.evaluation.parity.weights import seeded_tensor
from pavas_core.models.mel import MEL_VARIANTS, mel_filters
from pavas_core.models.network import VARIANTS, FlowTransformer, NetworkConfig, config_from_shapes
from pavas_core.models.vocoder import fold_state_dict as fold_vocoder
from tests.parity import FOLDER, fill, manifest, needs_goldens, shapes

pytestmark = needs_goldens

LARGE = ("full_", "clip_")
"""Networks of several gigabytes: the command line checks them."""


def goldens_here() -> list[str]:
    """Every file of golden numbers that a test can afford."""
    if not FOLDER.is_dir():
        return []
    return [
        path.relative_to(FOLDER).as_posix() for path, _ in find_checks(FOLDER)[0] if not path.name.startswith(LARGE)
    ]


def rows_of(path: Path) -> list[tuple[str, float, float]]:
    found, _ = find_checks(path.parent)
    return [row for one, case in found if one == path for row in run_check(path, case)]


@pytest.mark.parametrize("name", goldens_here())
def test_numbers_of_the_reference(name):
    rows = rows_of(FOLDER / name)
    assert rows
    missed = [f"{what}: {error:.2e} of {tolerance:.0e}" for what, error, tolerance in rows if not error <= tolerance]
    assert not missed


def test_every_tensor_of_the_small_files_is_compared():
    """A golden number that no check looks at proves nothing."""
    public = FOLDER / "public"
    for name in ("tiny_v1", "mel_16k", "rope_and_timestep"):
        path = public / f"{name}.safetensors"
        recorded = {key for key in load_file(path) if not key.startswith(("in.", "rope.in", "t_embed.in"))}
        compared = {what.split(" (")[0] for what, _, _ in rows_of(path)}
        assert recorded <= compared, name


def test_the_command_tells_a_miss_from_a_hit(tmp_path, capsys):
    source = FOLDER / "public" / "rope_and_timestep.safetensors"
    tensors = load_file(source)
    target = tmp_path / source.name
    save_file(tensors, target, metadata=metadata(source))
    assert main(["parity", str(tmp_path)]) == 0
    assert " MISS" not in capsys.readouterr().out
    tensors["rope.latent250"][0, 7, 3, 0, 0] += 1e-3
    save_file(tensors, target, metadata=metadata(source))
    assert main(["parity", str(tmp_path)]) == 1
    missed = [line for line in capsys.readouterr().out.splitlines() if line.endswith("MISS")]
    assert len(missed) == 1
    assert "rope.latent250" in missed[0]
    tensors["rope.latent250"][0, 7, 3, 0, 0] = float("nan")
    save_file(tensors, target, metadata=metadata(source))
    assert main(["parity", str(tmp_path)]) == 1, "no number is a miss"


def test_the_seed_is_the_files_own(tmp_path):
    """The same check on weights of another seed: the file's header says which."""
    source = FOLDER / "public" / "rope_and_timestep.safetensors"
    path = tmp_path / source.name
    save_file(load_file(source), path, metadata=metadata(source) | {"seed": "77"})
    assert seed_of(path) == 77
    wrong = {what for what, error, tolerance in rows_of(path) if not error <= tolerance}
    assert wrong == {f"t_embed.{name}.out" for name in ("v1_448", "v1_896", "v2_128", "v2_896")}
    assert not torch.equal(seeded_tensor("a.weight", (4, 4), 1), seeded_tensor("a.weight", (4, 4), 77))


def test_folders_without_golden_numbers_are_told(tmp_path, capsys):
    assert main(["parity", str(tmp_path / "none")]) == 2
    assert main(["parity", str(tmp_path)]) == 2
    assert "holds no golden numbers" in capsys.readouterr().err
    save_file({"a": torch.zeros(1)}, tmp_path / "stranger.safetensors")
    source = FOLDER / "upsample_index.json"
    (tmp_path / source.name).write_text(source.read_text())
    assert main(["parity", str(tmp_path)]) == 1
    assert "no check for this file" in capsys.readouterr().out
    broken = tmp_path / "stranger.safetensors"
    (tmp_path / "tiny_v1.safetensors").write_bytes(broken.read_bytes()[:20])
    assert main(["parity", str(tmp_path), "--only", "tiny*"]) == 2


def test_null_conditions_have_few_rows_and_the_same_values():
    config = NetworkConfig(20, 128, 4, 2, version=2, clip_dim=32, sync_dim=24, text_dim=16)
    network = FlowTransformer(config).eval()
    fill(network)
    with torch.inference_mode():
        text = network.empty_text(2, torch.zeros(1))
        for segments, length in ((1, 20), (2, 31), (3, 44), (4, 50), (24, 250)):
            sync = network.empty_sync(2, 8 * segments, text)
            whole = network.prepare(network.empty_clip(2, 9, text), sync, text, length)
            short = network.prepare_null(9, 8 * segments, text, length)
            assert short.sync.shape[1] <= 24
            torch.testing.assert_close(short.sync_per_token, whole.sync_per_token, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_published_network_names_and_shapes(name):
    network = FlowTransformer(VARIANTS[name], device="meta")
    assert shapes(network) == manifest(name)
    assert config_from_shapes(manifest(name)) == VARIANTS[name]


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


@pytest.mark.parametrize("rate", ["16k", "44k"])
def test_mel_filters_are_librosas(rate):
    import librosa

    config = MEL_VARIANTS[rate]
    basis = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.bins, fmin=0, fmax=config.f_max
    )
    torch.testing.assert_close(mel_filters(config), torch.from_numpy(basis), atol=1e-8, rtol=0)
