"""What installing the pack does to a ComfyUI that works: nothing is pinned, built, replaced or unreadable."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted(
    [*ROOT.glob("*.py"), *(path for name in ("nodes", "pavas_core") for path in (ROOT / name).rglob("*.py"))]
)
NOT_WHEELS_OR_TROUBLE = {"sam2", "audiocraft", "audiotools", "torchaudio", "timm", "librosa", "numba", "moviepy"}
"""Built from source, tied to another torch, or known to break environments."""


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports anywhere, its own package left out."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_requirements_pin_nothing_and_build_nothing():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]
    assert wanted
    for line in wanted:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+(>=[0-9.]+)?", line), line
        assert re.split(">=", line)[0].lower() not in NOT_WHEELS_OR_TROUBLE, line
    assert not [line for line in wanted if line.startswith(("torch>", "numpy>", "transformers>"))], "ComfyUI's own"


def test_no_module_needs_what_breaks_environments():
    unwanted = NOT_WHEELS_OR_TROUBLE - {"sam2"} | {"huggingface_hub", "torchcodec"}
    assert {path.name: found for path in SHIPPED if (found := imported(path) & unwanted)} == {}


def test_sources_are_read_by_any_windows_code_page():
    for folder in ("nodes", "pavas_core", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            path.read_text(encoding="utf-8").encode("cp1252")
