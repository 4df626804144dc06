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
from collections.abc import Iterator
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


def server_python() -> str:
    """The Python that ComfyUI runs with."""
    return _python(_checkout())


def _server(base: Path, folder: str) -> Iterator[ComfyServer]:
    checkout = _checkout()
    server = ComfyServer(checkout, _python(checkout), PACK, base, folder)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def comfy(tmp_path_factory):
    """The running server; the pack's folder there has a space and letters outside ASCII in its name."""
    yield from _server(tmp_path_factory.mktemp("comfy base ü"), "PAVAS Físik \u97f3")


@pytest.fixture(scope="session")
def comfy_web(tmp_path_factory):
    """The same with the plain folder name, for what ComfyUI serves over the web.

    aiohttp's static routes, which ComfyUI uses for every pack's web folder and templates, never match a folder
    name that needs quoting in a URL.
    """
    yield from _server(tmp_path_factory.mktemp("comfy web"), "ComfyUI-PAVAS")


@pytest.fixture
def quick_start() -> Graph:
    """The API form of the quick-start template, free to edit."""
    return Graph(copy.deepcopy(json.loads((PACK / "workflows" / "api" / "quick_start.json").read_text())))
