"""A real ComfyUI server for the tests of this folder, started once, and the quick-start graph run on it.

``COMFYUI_DIR`` names a ComfyUI checkout, ``COMFYUI_PYTHON`` the Python it runs with (default: its own
``venv`` or ``.venv``, else the ``python3`` on the path). Without ``COMFYUI_DIR`` the tests are skipped.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.comfy_client import ComfyServer, Graph

PACK = Path(__file__).resolve().parents[2]


def _checkout() -> Path:
    folder = os.environ.get("COMFYUI_DIR")
    if not folder:
        pytest.skip("COMFYUI_DIR is not set: it names the ComfyUI checkout to test against")
    return Path(folder).expanduser().resolve()


def _python(checkout: Path) -> str:
    own = [checkout / name / "bin" / "python" for name in ("venv", ".venv")]
    return os.environ.get("COMFYUI_PYTHON") or next(
        (str(path) for path in own if path.exists()), shutil.which("python3") or sys.executable
    )


@pytest.fixture(scope="session")
def comfy(tmp_path_factory):
    """The running server."""
    checkout = _checkout()
    server = ComfyServer(checkout, _python(checkout), PACK, tmp_path_factory.mktemp("comfy base ü"))
    yield server
    server.stop()


@pytest.fixture
def quick_start() -> Graph:
    """The API form of the quick-start template, free to edit."""
    return Graph(copy.deepcopy(json.loads((PACK / "workflows" / "api" / "quick_start.json").read_text())))
