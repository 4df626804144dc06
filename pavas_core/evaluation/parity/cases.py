"""What a check of golden numbers is, and what the header of such a file says.

A check takes a file's path and the seed of its weights and yields rows of (what, error, tolerance).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from pavas_core.errors import PavasError

Row = tuple[str, float, float]
"""What was compared, the worst error, and the error allowed."""
Check = Callable[[Path, int], Iterable[Row]]


@dataclass(frozen=True)
class Case:
    """How files of one kind are checked."""

    pattern: str
    """Of the file's name, as a shell would match it."""
    check: Check
    tensor: str = ""
    """A tensor that the file must hold, where the name alone does not tell."""

    def fits(self, path: Path) -> bool:
        """Whether this is the check for a file."""
        return fnmatch(path.name, self.pattern) and (not self.tensor or self.tensor in _tensor_names(path))


def metadata(path: Path) -> dict[str, str]:
    """What the header of a safetensors file says beside its tensors. Raises PavasError for a broken one."""
    return _header(path)[0]


def _tensor_names(path: Path) -> frozenset[str]:
    return _header(path)[1] if path.suffix == ".safetensors" else frozenset()


def _header(path: Path) -> tuple[dict[str, str], frozenset[str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}, frozenset(file.keys())
    except (SafetensorError, OSError) as error:
        raise PavasError(f"{path.name} cannot be read ({error}): copy it again.") from None
