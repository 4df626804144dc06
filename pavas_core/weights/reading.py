"""Tensors of a file, as safetensors or by torch's restricted unpickler, and errors that say what the file is."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavas_core.errors import WeightsError
from pavas_core.weights.names import format_of

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ("generator", "state_dict", "model")
"""Keys under which trainers put the network's tensors."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of one file; on the ``meta`` device where only names, shapes and types were asked for."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    """Text that a safetensors file carries; empty for torch's formats."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor by name."""
        return {name: tuple(value.shape) for name, value in self.tensors.items()}


def read_shapes(path: Path) -> Checkpoint:
    """Names, shapes and types of a file's tensors, without reading their values. Raises WeightsError."""
    return _read(path, "meta")


def read_tensors(path: Path) -> Checkpoint:
    """A file's tensors on the CPU, mapped into memory where the format allows it. Raises WeightsError."""
    return _read(path, "cpu")


def _read(path: Path, device: str) -> Checkpoint:
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no file {path}: see where it was moved, or download it again.")
    kind = format_of(path)
    if kind == "safetensors":
        return _read_safetensors(path, device)
    if kind in ("torch", "legacy torch"):
        return Checkpoint(path, _flat(path, _read_torch(path, device, mapped=kind == "torch")), {})
    raise WeightsError(f"{path.name} is {kind}: download it again from its publisher.")


def _read_safetensors(path: Path, device: str) -> Checkpoint:
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if device == "meta":
                slices = {name: file.get_slice(name) for name in names}
                tensors = {
                    name: torch.empty(part.get_shape(), dtype=_dtype(part.get_dtype()), device="meta")
                    for name, part in slices.items()
                }
            else:
                tensors = {name: file.get_tensor(name) for name in names}
            return Checkpoint(path, tensors, file.metadata() or {})
    except (SafetensorError, OSError, KeyError) as error:
        raise WeightsError(_damaged(path)) from error


def _dtype(name: str) -> Any:
    """torch's type for one of safetensors' names."""
    import torch

    names = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    names |= {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "BOOL": "bool", "U8": "uint8"}
    names |= {f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}
    return getattr(torch, names[name])


def _read_torch(path: Path, device: str, *, mapped: bool) -> Any:
    import torch

    try:
        return torch.load(path, map_location=device, weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path.name} holds Python objects other than tensors, which could run code, and was not opened: take the "
            "file from its publisher, or a .safetensors file of it."
        ) from error
    except Exception as error:  # damage leads torch's reader into errors of any kind
        raise WeightsError(_damaged(path)) from error


def _damaged(path: Path) -> str:
    size = path.stat().st_size
    return f"{path.name} is damaged or cut short ({size} bytes): delete it and download it again."


def _flat(path: Path, loaded: Any) -> dict[str, Tensor]:
    """The tensors by name, taken out of what trainers wrap them in."""
    import torch

    if isinstance(loaded, Mapping):
        own = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
        if own:
            return own
        for wrapper in WRAPPERS:
            if isinstance(loaded.get(wrapper), Mapping):
                return _flat(path, loaded[wrapper])
    raise WeightsError(f"{path.name} holds no named tensors: it is a torch file of another kind than a network's.")
