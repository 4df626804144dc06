"""What a host lends the core: where networks live while they work, in which type, and a full memory in one sentence."""

from __future__ import annotations

import contextvars
import importlib
import sys
import threading

import pytest
import torch
from torch.nn import Linear, Sequential

from pavas_core.errors import PavasError
from pavas_core.runtime import Runtime
from tests import comfy_double


class Recorder(Linear):
    """Says where it was sent, without going."""

    def __init__(self):
        super().__init__(2, 2)
        self.sent = []

    def to(self, device):
        self.sent.append(str(device))
        return self


def test_a_module_is_on_the_device_only_inside_the_context():
    module = Recorder()
    with Runtime(device="cuda").resident(module):
        assert module.sent == ["cuda"]
    assert module.sent == ["cuda", "cpu"]


def test_a_module_comes_back_after_an_error():
    module = Recorder()
    with pytest.raises(ValueError, match="stop"), Runtime(device="cuda").resident(module):
        raise ValueError("stop")
    assert module.sent[-1] == "cpu"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_a_full_device_is_said_in_one_sentence(error):
    with pytest.raises(PavasError, match="memory of cpu is full: ") as said, Runtime().resident(Linear(2, 2)):
        raise error
    assert str(said.value).count(". ") == 0


def test_other_errors_pass_as_they_are():
    with pytest.raises(RuntimeError, match="shapes"), Runtime().resident(Linear(2, 2)):
        raise RuntimeError("shapes")


def test_precision_by_name_and_by_device():
    assert Runtime().dtype("bf16") is torch.bfloat16
    assert Runtime(device="cpu").dtype() is torch.float32
    assert Runtime(device="mps").dtype() is torch.float16
    with pytest.raises(PavasError, match="'int8' is no precision"):
        Runtime().dtype("int8")


@pytest.fixture
def host(monkeypatch, tmp_path):
    comfy, extension = comfy_double.install(monkeypatch, tmp_path)
    return comfy, importlib.import_module(extension.__package__ + ".host")


def test_comfyui_loads_modules_and_keeps_one_handle_each(host):
    comfy, module = host
    network = Linear(2, 2)
    for _ in range(2):
        with module.comfy_runtime().resident(network):
            pass
    assert comfy.loaded == [network, network]
    assert network._comfy_patcher.model is network


def test_comfyui_streams_its_own_layers_and_loads_a_librarys_network_whole(host, monkeypatch):
    _, module = host
    loads = []
    kinds = sys.modules["comfy.model_patcher"]
    core = type("CoreModelPatcher", (kinds.ModelPatcher,), {})
    monkeypatch.setattr(kinds, "CoreModelPatcher", core, raising=False)
    monkeypatch.setattr(
        sys.modules["comfy.model_management"],
        "load_models_gpu",
        lambda patchers, **options: loads.append(([type(one).__name__ for one in patchers], options)),
    )
    streamed, whole = Sequential(Linear(2, 2)), Linear(2, 2)
    streamed[0].comfy_cast_weights = True
    with module.comfy_runtime().resident(whole, streamed, activation_bytes=7):
        pass
    assert loads == [
        (["CoreModelPatcher"], {"memory_required": 7}),
        (["ModelPatcher"], {"memory_required": 7, "force_full_load": True}),
    ]


def test_what_full_memory_leaves_in_a_thread_does_not_stay_in_comfyuis(host):
    _, module = host
    spoilt, spoken_for = threading.local(), contextvars.ContextVar("node")

    @module.survives_full_memory
    def execute(cls, *, full):
        assert spoken_for.get() == "7", "ComfyUI tells nodes apart by context"
        assert torch.is_inference_mode_enabled()
        if hasattr(spoilt, "error"):
            raise RuntimeError("could not create a primitive")
        if full:
            spoilt.error = True
            raise RuntimeError("could not create a primitive")
        return "done"

    spoken_for.set("7")
    with torch.inference_mode():
        with pytest.raises(PavasError, match="is full"):
            execute(None, full=True)
        assert execute(None, full=False) == "done"


def test_comfyuis_interruption_passes_though_it_is_no_exception(host):
    _, module = host

    class Interrupted(BaseException):
        pass

    @module.survives_full_memory
    def execute(cls):
        raise Interrupted

    with pytest.raises(Interrupted):
        execute(None)


def test_a_full_device_is_emptied_once_and_then_said(host):
    comfy, module = host
    calls = []

    @module.survives_full_memory
    def execute(cls, full_times):
        calls.append(full_times)
        if len(calls) <= full_times:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "done"

    assert execute(None, 1) == "done"
    assert comfy.unloaded == 1
    calls.clear()
    with pytest.raises(PavasError, match="is full"):
        execute(None, 2)
