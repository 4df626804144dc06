"""Published models on a real server: tiny files in the published layouts, written here with drawn weights."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pavas_core.models.network import NetworkConfig
from pavas_core.models.phy_adapter import AdapterConfig, PhyAdapter
from pavas_core.weights.adapters import save_adapter
from tests.e2e.comfy_client import Graph
from tests.e2e.test_quick_start import run_all, saved, sound_of, video_seconds
from tests.published_files import write_clip, write_sound_files, write_synchformer

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows" / "api"
FROM_SAMPLER = {"PavasSampler", "PavasVocode", "PavasSaveVideo"}
FROM_ADAPTER = FROM_SAMPLER | {"PavasPhyAdapterEncode"}
CLIP_WIDTH, TEXT_WIDTH = 64, 64
NETWORK = NetworkConfig(20, 128, 4, 2, clip_dim=CLIP_WIDTH, text_dim=TEXT_WIDTH)


@pytest.fixture(scope="module")
def models(comfy) -> Path:
    """ComfyUI's models/pavas with a network, its companions and an adapter."""
    return write_models(comfy.base / "models" / "pavas")


def write_models(folder: Path) -> Path:
    """A network (``one.safetensors``), its companions and ``adapter.safetensors``, all small."""
    write_sound_files(folder, NETWORK)
    write_clip(folder / "four.safetensors", width=64, embed_dim=CLIP_WIDTH, text_width=TEXT_WIDTH)
    write_synchformer(folder / "five.safetensors")
    torch.manual_seed(0)
    config = AdapterConfig(width=128, depth=4, feature_dim=64, hidden_dim=32, bottleneck=8)
    adapter = PhyAdapter(config)
    with torch.no_grad():
        for name, value in adapter.named_parameters():
            if ".up." in name:
                value.normal_(0, 0.2)
    save_adapter(folder / "adapter.safetensors", adapter, NETWORK)
    return folder


def graph_of(name: str, **sampler) -> Graph:
    graph = Graph(copy.deepcopy(json.loads((WORKFLOWS / f"{name}.json").read_text())))
    graph.inputs("PavasLoadModel")["file"] = "one.safetensors"
    graph.inputs("PavasLoadVideo")["duration_s"] = 1.2  # two windows of Synchformer, which has its full size
    graph.inputs("PavasSampler").update({"steps": 4, **sampler})
    return graph


@pytest.fixture
def plain(models) -> Graph:
    return graph_of("published_model")


@pytest.fixture
def physical(models) -> Graph:
    graph = graph_of("published_model_with_physics")
    graph.inputs("PavasLoadModel")["adapter"] = "adapter.safetensors"
    return graph


def test_the_graph_gives_the_clip_a_sound_as_long_as_itself(comfy, plain):
    run = run_all(comfy, plain)
    path = saved(comfy, plain, run)
    samples, rate = sound_of(path)
    assert abs(len(samples) / rate - video_seconds(path)) < 0.05
    assert abs(samples).max() > 0
    (summary,) = run.outputs[plain.node("PreviewAny")]["text"]
    assert "vae: two.pth" in summary
    assert "mass and speed do not change the sound" in summary


@pytest.mark.parametrize(
    "change", [{"seed": 7}, {"prompt": "glass breaks"}, {"cfg_strength": 3.0}, {"takes": 2}, {"negative_prompt": ""}]
)
def test_prompt_seed_strength_and_takes_rerun_from_the_sampler_on(comfy, plain, change):
    run_all(comfy, plain)
    plain.inputs("PavasSampler").update(change)
    run = run_all(comfy, plain)
    assert plain.classes(run.executed) == FROM_SAMPLER
    assert len(run.outputs[plain.node("PavasSaveVideo")]["images"]) == change.get("takes", 1)


def test_the_same_again_runs_nothing(comfy, plain):
    run_all(comfy, plain)
    assert run_all(comfy, plain).executed == []


def test_a_mass_edit_runs_from_its_node_on_and_encodes_nothing(comfy, physical):
    first, _ = sound_of(saved(comfy, physical, run_all(comfy, physical)))
    physical.inputs("PavasManualMass")["masses"] = "* = 9"
    run = run_all(comfy, physical)
    from_mass = FROM_ADAPTER | {"PavasManualMass", "PavasCombinePhysics", "PavasPhysicsEditor", "PavasComposePrompt"}
    assert physical.classes(run.executed) == from_mass
    second, _ = sound_of(saved(comfy, physical, run))
    assert abs(first - second).max() > 0, "the adapter hears the mass"
    physical.inputs("PavasSampler")["physics_strength"] = 0.5
    assert physical.classes(run_all(comfy, physical).executed) == FROM_SAMPLER


def test_the_composed_prompt_is_the_samplers_and_may_be_written_over(comfy, physical):
    prompt, sampler = physical.node("PavasComposePrompt"), physical.inputs("PavasSampler")
    assert sampler["prompt"] == [prompt, 0]
    run = run_all(comfy, physical)
    (composed,) = run.outputs[prompt]["pavas_prompt"]
    assert "ball bouncing" in composed
    physical.inputs("PavasComposePrompt")["text"] = "glass breaks"
    run = run_all(comfy, physical)
    assert physical.classes(run.executed) == FROM_SAMPLER | {"PavasComposePrompt"}
    assert run.outputs[prompt]["pavas_prompt"] == ["glass breaks"]


def test_without_an_adapter_mass_does_not_change_the_sound(comfy, physical):
    physical.inputs("PavasLoadModel")["adapter"] = "auto"
    first, _ = sound_of(saved(comfy, physical, run_all(comfy, physical)))
    physical.inputs("PavasManualMass")["masses"] = "* = 9"
    second, _ = sound_of(saved(comfy, physical, run_all(comfy, physical)))
    assert (first == second).all()


def test_text_alone_makes_sound_of_the_asked_length(comfy, plain):
    sampler = plain.inputs("PavasSampler")
    del sampler["features"]
    sampler["duration_s"] = 1.5
    audio = plain.add("SaveAudio", audio=[plain.node("PavasVocode"), 0], filename_prefix="e2e/text")
    for class_type in ("PavasSaveVideo", "PavasEncodeVideo", "PavasLoadVideo"):
        del plain[plain.node(class_type)]
    run = run_all(comfy, plain)
    (shown,) = run.outputs[audio]["audio"]
    samples, rate = sound_of(comfy.base / "output" / shown["subfolder"] / shown["filename"])
    assert len(samples) == 1.5 * rate


def test_cancel_stops_the_sampler(comfy, plain):
    plain.inputs("PavasSampler").update({"steps": 200, "seed": 99})
    run = comfy.run(plain, interrupt_at=plain.node("PavasSampler"))
    assert run.interrupted
    assert run.seconds < 3
    plain.inputs("PavasSampler")["steps"] = 4
    run_all(comfy, plain)


def test_models_are_unloaded_on_demand_and_come_back(comfy, plain):
    run_all(comfy, plain)
    assert comfy.post("/free", {"unload_models": True, "free_memory": True})[0] == 200
    plain.inputs("PavasSampler")["seed"] = 123
    run_all(comfy, plain)


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_other_precisions_run(comfy, plain, precision):
    plain.inputs("PavasLoadModel")["precision"] = precision
    samples, _ = sound_of(saved(comfy, plain, run_all(comfy, plain)))
    assert abs(samples).max() > 0


def test_a_model_that_is_not_there_is_refused_with_its_command(comfy, plain):
    plain.inputs("PavasLoadModel")["file"] = "mmaudio_large_44k_v2.pth"
    status, reply = comfy.post("/prompt", {"prompt": plain})
    assert status == 400
    (error,) = reply["node_errors"][plain.node("PavasLoadModel")]["errors"]
    assert "models download large_44k_v2 --into" in error["details"]


def test_a_missing_companion_and_a_wrong_file_end_in_a_sentence(comfy, plain, models):
    hidden = models / "two.pth"
    hidden.rename(models / "two.hidden")
    try:
        plain.inputs("PavasLoadModel")["precision"] = "fp32"
        run = comfy.run(plain)
        assert run.error["exception_message"].startswith("A mel VAE with 20 channels is missing: v1-16.pth")
        plain.inputs("PavasLoadModel")["vae"] = "auto"
    finally:
        (models / "two.hidden").rename(hidden)
    cut = models / "cut.safetensors"
    save_file({"joint_blocks.0.latent_block.attn.qkv.weight": torch.ones(1)}, cut)
    data = (models / "one.safetensors").read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    try:
        plain.inputs("PavasLoadModel")["file"] = "cut.safetensors"
        assert "is damaged or cut short" in comfy.run(plain).error["exception_message"]
    finally:
        cut.unlink()
