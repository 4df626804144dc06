"""A real ComfyUI's memory manager on the CPU: a network is loaded, unloaded, streamed in part, and says the same."""

from __future__ import annotations

import json
import subprocess

from tests.e2e.conftest import PACK, _checkout, _python
from tests.published_files import write_sound_files

SCRIPT = """
import importlib.util, json, sys
checkout, pack, file = sys.argv[1:4]
sys.argv = ["main.py", "--cpu"]
sys.path[:0] = [checkout, pack]
import comfy.options
comfy.options.enable_args_parsing()
import torch
import comfy.model_management as management
from pathlib import Path
from pavas_core.models.load import load_backbone

spec = importlib.util.spec_from_file_location("host", pack + "/nodes/host.py")
host = importlib.util.module_from_spec(spec)
spec.loader.exec_module(host)
runtime = host.comfy_runtime()
plain = load_backbone(Path(file), dtype=torch.float32).network
network = load_backbone(Path(file), dtype=torch.float32, runtime=runtime).network
g = torch.Generator().manual_seed(0)
clip, sync, text, x = (torch.randn(1, n, d, generator=g) for n, d in ((4, 1024), (8, 768), (77, 1024), (16, 20)))

def error():
    with torch.inference_mode():
        t = torch.tensor([0.5])
        mine, theirs = (one(x, t, one.prepare(clip, sync, text, 16)) for one in (network, plain))
        return float((mine - theirs).abs().max())

said = {}
with runtime.resident(network):
    said["error"], said["loaded"] = error(), len(management.current_loaded_models)
management.unload_all_models()
said["left"] = len(management.current_loaded_models)
with runtime.resident(network):
    said["error again"] = error()
management.unload_all_models()
network._comfy_patcher.load(torch.device("cpu"), lowvram_model_memory=1)
said["streamed"], said["error streamed"] = bool(network.model_lowvram), error()
print("\\n" + json.dumps(said))
"""


def test_a_network_is_loaded_unloaded_and_streamed(tmp_path):
    checkout = _checkout()
    file = write_sound_files(tmp_path).network
    run = subprocess.run(
        [_python(checkout), "-c", SCRIPT, str(checkout), str(PACK), str(file)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    said = json.loads(run.stdout.strip().splitlines()[-1])
    assert said == {
        "error": 0.0,
        "loaded": 1,
        "left": 0,
        "error again": 0.0,
        "streamed": True,
        "error streamed": 0.0,
    }
