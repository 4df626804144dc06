"""What installing the pack does to a ComfyUI that works: nothing is pinned, built, replaced or unreadable."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import metadata
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


def test_layers_are_made_by_operations_as_checkers_of_packs_demand():
    plain = re.compile(r"\bnn\.(Linear|Conv[123]d)\(")
    found = [path.name for path in SHIPPED if plain.search(path.read_text(encoding="utf-8"))]
    assert found == [], "ComfyUI casts and moves the weights of operations.Linear, not of nn.Linear"


def allowed_distributions() -> set[str]:
    """Names of the installed distributions that requirements/core.txt brings, what they need themselves included."""
    lines = (ROOT / "requirements" / "core.txt").read_text(encoding="utf-8").splitlines()
    waiting = [line for line in lines if line.strip() and not line.startswith("#")]
    found: set[str] = set()
    while waiting:
        line = waiting.pop()
        name = re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9_.-]+", line).group()).lower()
        if name not in found and "extra ==" not in line:
            found.add(name)
            try:
                waiting += metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue  # needed on other systems only
    return found


WITHOUT_THE_REST = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

HIDDEN = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Missing())
from pavas_core.cli import main
sys.exit(main(sys.argv[2:]))
"""


def test_the_main_job_needs_no_package_that_core_txt_does_not_bring(tmp_path):
    kept = allowed_distributions()
    hidden = {
        module
        for module, owners in metadata.packages_distributions().items()
        if not any(re.sub(r"[-_.]+", "-", owner).lower() in kept for owner in owners)
    }
    assert {"torch", "transformers", "librosa"} <= hidden
    clip, sound, physics = (
        ROOT / "workflows" / "clips" / "example.mp4",
        tmp_path / "heard.mp4",
        tmp_path / "physics.json",
    )
    job = ["foley", str(clip), "-o", str(sound), "--physics-json", str(physics)]
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_REST, ",".join(sorted(hidden)), *job],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert sound.is_file()
    assert physics.is_file()
