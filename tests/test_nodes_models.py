"""Load Model and Download Models: which files are offered, what is said of them; nothing is fetched unasked."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from pavas_core.errors import PavasError, WeightsError
from pavas_core.weights import catalogue, download
from tests import comfy_double
from tests.published_files import write_encoder_stubs, write_sound_files

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
AUTO = {"adapter": "auto", "precision": "fp32", "vae": "auto", "vocoder": "auto", "clip": "auto", "synchformer": "auto"}


@pytest.fixture
def pack(monkeypatch, tmp_path):
    comfy, extension = comfy_double.install(monkeypatch, tmp_path / "comfy")
    package = extension.__name__.rpartition(".")[0]
    return comfy, lambda name: importlib.import_module(f"{package}.{name}")


def options(node):
    return {socket.id: socket.options.get("options") for socket in node.define_schema().inputs}


def test_files_are_offered_by_what_they_hold_from_every_folder(pack, tmp_path):
    comfy, module = pack
    sys.modules["folder_paths"].add_model_folder_path("pavas", str(tmp_path / "elsewhere"))
    write_sound_files(comfy.models / "mmaudio" / "sub")
    write_encoder_stubs(tmp_path / "elsewhere")
    (comfy.models / "pavas").mkdir()
    torch.save({"other": torch.ones(1)}, comfy.models / "pavas" / "mmaudio_vae_44k.pth")
    offered = options(module("model").PavasLoadModel)
    assert "sub/one.safetensors" in offered["file"]
    assert offered["vae"] == ["auto", "sub/two.pth"]
    assert offered["vocoder"] == ["auto", "sub/three.pt"]
    assert offered["clip"] == ["auto", "four.safetensors"]
    assert offered["synchformer"] == ["auto", "five.safetensors"]
    assert offered["adapter"] == ["auto"]


def test_the_packs_folder_is_registered_beside_the_users(pack, tmp_path):
    comfy, module = pack
    folders = sys.modules["folder_paths"]
    folders.add_model_folder_path("pavas", "/from/yaml")
    module("model_folders").register_folder()
    paths, extensions = folders.folder_names_and_paths["pavas"]
    assert paths == ["/from/yaml", str(comfy.models / "pavas")]
    assert ".safetensors" in extensions
    assert [str(path) for path in module("model_folders").model_folders()][:2] == paths


def test_loading_says_what_was_found_and_that_physics_is_not_heard(pack):
    comfy, module = pack
    write_sound_files(comfy.models / "pavas")
    write_encoder_stubs(comfy.models / "pavas")
    model, summary = module("model").PavasLoadModel.execute(file="one.safetensors", **AUTO).args
    assert model.sample_rate == 16000
    for line in ("vae: two.pth", "vocoder: three.pt", "clip: four.safetensors", "synchformer: five.safetensors"):
        assert line in summary.splitlines()
    assert "Phy-Adapter: none; mass and speed do not change the sound" in summary.splitlines()
    assert comfy.said == [summary]


def test_a_model_that_is_not_there_is_told_with_its_command(pack):
    comfy, module = pack
    node = module("model").PavasLoadModel
    told = node.validate_inputs("mmaudio_large_44k_v2.pth")
    assert "4.1 GB, licence cc-by-nc-4.0" in told
    assert f'models download large_44k_v2 --into "{comfy.models / "pavas"}"' in told
    assert sys.executable in told
    assert "put its file into" in node.validate_inputs("mine.pth")
    with pytest.raises(PavasError, match="put its file into"):
        node.execute(file="../../secret.pth", **AUTO)


def test_a_replaced_file_is_read_again(pack):
    comfy, module = pack
    files = write_sound_files(comfy.models / "pavas")
    node = module("model").PavasLoadModel
    before = node.fingerprint_inputs(file="one.safetensors", **AUTO)
    assert before == node.fingerprint_inputs(file="one.safetensors", **AUTO)
    files.network.write_bytes(files.network.read_bytes() + b" ")
    assert before != node.fingerprint_inputs(file="one.safetensors", **AUTO)


def test_nothing_is_downloaded_without_the_tick(pack, monkeypatch):
    _, module = pack
    fetched = []
    monkeypatch.setattr(download, "_fetch", lambda entry, *rest: fetched.append(entry.id) or 1 / 0)
    node = module("model").PavasDownloadModels
    for what in ("large_44k_v2 and all it needs", "vae-44k"):
        with pytest.raises(WeightsError, match="no commercial use"):
            node.execute(what=what, accept_licences=False)
    assert fetched == []
    with pytest.raises(ZeroDivisionError):
        node.execute(what="vae-44k", accept_licences=True)
    assert fetched == ["vae-44k"]


def test_files_that_are_there_are_not_fetched_again(pack):
    comfy, module = pack
    (comfy.models / "pavas").mkdir()
    for one in catalogue.with_companions(["small_16k"]):
        (comfy.models / "pavas" / one.file).write_bytes(b"x")
    told = module("model").PavasDownloadModels.execute(what="small_16k and all it needs", accept_licences=True).args[0]
    first, *others = told.splitlines()
    assert first.endswith("mmaudio_small_16k.pth")
    assert len(others) == 4


def test_the_model_in_the_box_is_offered_first_once_its_weights_are_there(pack, monkeypatch, tmp_path):
    from pavas_core.models import nano

    comfy, module = pack
    nodes = module("model")
    assert nodes.NANO_WEIGHTS == nano.WEIGHTS
    assert nodes.NANO == nano.NAME
    write_sound_files(comfy.models / "pavas")
    monkeypatch.setattr(nodes, "NANO_WEIGHTS", tmp_path / "none")
    assert options(nodes.PavasLoadModel)["file"] == ["one.safetensors"]
    (tmp_path / "some").write_bytes(b"x")
    monkeypatch.setattr(nodes, "NANO_WEIGHTS", tmp_path / "some")
    assert options(nodes.PavasLoadModel)["file"] == ["pavas-nano-1", "one.safetensors"]


@pytest.mark.parametrize("name", ["published_model", "published_model_with_physics"])
def test_templates_tell_comfyui_which_files_are_missing(name):
    graph = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    (node,) = [node for node in graph["nodes"] if node["type"] == "PavasLoadModel"]
    told = {one["name"]: one for one in node["properties"]["models"]}
    assert node["widgets_values"][0] in told
    assert set(told) == {one.file for one in catalogue.with_companions(["large_44k_v2"])}
    for one in catalogue.with_companions(["large_44k_v2"]):
        assert told[one.file]["url"] == one.url
        assert told[one.file]["directory"] == "pavas"
        assert told[one.file].get("hash") == one.sha256
