"""Which files of a folder hold golden numbers that can be checked, and the check of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pavas_core.errors import PavasError
from pavas_core.evaluation.parity.cases import Case, Row, metadata

SUFFIXES = (".safetensors", ".pth", ".json")


def all_cases() -> tuple[Case, ...]:
    """Every check there is, those of small files first."""
    from pavas_core.evaluation.parity import cut3r, mmaudio

    return (*mmaudio.CASES, *(Case(name, check) for name, check in cut3r.CHECKS.items()))


def find_checks(folder: Path) -> tuple[list[tuple[Path, Case]], list[Path]]:
    """Files in a folder and its subfolders with their checks, small files first; and files nobody can check.

    Raises PavasError if there is nothing to check.
    """
    if not folder.is_dir():
        raise PavasError(f"{folder} is no folder: give one with files of golden numbers.")
    cases = all_cases()
    known: list[tuple[int, Path, Case]] = []
    unknown: list[Path] = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file()):
        rank, case = next(((rank, case) for rank, case in enumerate(cases) if case.fits(path)), (0, None))
        if case is None:
            unknown.append(path)
        else:
            known.append((rank, path, case))
    if not known:
        raise PavasError(f"{folder} holds no golden numbers that can be checked: give a folder of .safetensors files.")
    return [(path, case) for _, path, case in sorted(known, key=lambda one: one[0])], unknown


def run_check(path: Path, case: Case, *, seed: int | None = None) -> Iterator[Row]:
    """The rows of one file, with weights of its own seed or of ``seed``. Raises PavasError for a broken file."""
    import torch

    with torch.inference_mode():
        try:
            yield from case.check(path, seed_of(path) if seed is None else seed)
        except KeyError as error:
            raise PavasError(f"{path.name} has no {error.args[0]}: it is not a whole file of golden numbers.") from None


def seed_of(path: Path) -> int:
    """The seed of a file's weights: from its own header, else from the README beside it; 0 where there is none."""
    said = metadata(path).get("seed", "") if path.suffix == ".safetensors" else ""
    readme = path.with_name("README.md")
    if not said and readme.is_file():
        found = re.search(r"\bseed\W{0,3}(\d+)", readme.read_text(errors="replace"), re.IGNORECASE)
        said = found.group(1) if found else ""
    try:
        return int(said or 0)
    except ValueError:
        raise PavasError(f"{path.name} names the seed {said!r}, which is no whole number.") from None
