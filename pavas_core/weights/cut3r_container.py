"""CUT3R's released containers: a pickle of tensors together with objects of its training configuration.

The configuration's classes are replaced by stubs that keep nothing and call nothing, inside torch's restricted
unpickler; a file that names anything else is refused before it is opened. What is wanted, the tensors, can be written
as safetensors once.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavas_core.errors import WeightsError
from pavas_core.weights.names import format_of
from pavas_core.weights.reading import read_tensors

if TYPE_CHECKING:
    from torch import Tensor

CONFIGURATION = frozenset(
    {
        "omegaconf.base.Metadata",
        "omegaconf.base.ContainerMetadata",
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.listconfig.ListConfig",
        "omegaconf.nodes.AnyNode",
        "collections.defaultdict",
        "typing.Any",
        "builtins.int",
        "builtins.dict",
        "builtins.list",
        "argparse.Namespace",
    }
)
"""What a training configuration is pickled as; nothing of it is imported here."""
WRAPPER = "module."
"""What data-parallel training puts before every name."""


class _Inert:
    """Stands for a class of the configuration: takes any arguments and any state, and does nothing."""

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def append(self, _item: Any) -> None:
        """Take an item of a list and forget it."""

    def extend(self, _items: Any) -> None:
        """Take items of a list and forget them."""


def read_container(path: Path) -> dict[str, Tensor]:
    """Tensors by name from CUT3R's .pth, or from a .safetensors file of it; on the CPU, mapped where possible.

    Raises WeightsError for a file that is missing or damaged, or that holds objects beyond tensors and a training
    configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"There is no file {path}: see where it was moved, or download it again.")
    if format_of(path) == "torch":
        return _bare(_tensors(path, _read_with_stubs(path)))
    return _bare(read_tensors(path).tensors)


def _read_with_stubs(path: Path) -> Any:
    import torch

    serialization = torch.serialization
    if not hasattr(serialization, "get_unsafe_globals_in_checkpoint"):
        raise WeightsError(
            f"{path.name} is a pickle that torch {torch.__version__} cannot open safely: update torch to 2.6 or newer, "
            "or convert the file on a computer that has it with python -m pavas_core convert-cut3r."
        )
    try:
        named = set(serialization.get_unsafe_globals_in_checkpoint(path))
        strange = sorted(named - CONFIGURATION)
        if strange:
            raise WeightsError(
                f"{path.name} names {strange[0]}, which no CUT3R checkpoint needs and which could run code, and was "
                "not opened: take the file from its publisher."
            )
        stubs: list[Any] = [(type("Inert", (_Inert,), {}), name) for name in sorted(named)]
        with serialization.safe_globals(stubs):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path.name} does more than tensors and a training configuration need, which could run code, and was not "
            "opened: take the file from its publisher."
        ) from error
    except WeightsError:
        raise
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        size = path.stat().st_size
        raise WeightsError(
            f"{path.name} is damaged or cut short ({size} bytes): delete it and download it again."
        ) from error


def _tensors(path: Path, loaded: Any) -> dict[str, Tensor]:
    """The state dict of a container, or the mapping itself where it is one."""
    import torch

    inner = loaded.get("model", loaded) if isinstance(loaded, Mapping) else {}
    tensors = inner.items() if isinstance(inner, Mapping) else ()
    found = {str(name): value for name, value in tensors if isinstance(value, torch.Tensor)}
    if not found:
        raise WeightsError(f"{path.name} holds no named tensors: it is a torch file of another kind than CUT3R's.")
    return found


def _bare(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefix of data-parallel training, where all of them carry it."""
    if all(name.startswith(WRAPPER) for name in tensors):
        return {name.removeprefix(WRAPPER): value for name, value in tensors.items()}
    return dict(tensors)


def convert_container(source: Path, target: Path) -> int:
    """Write the tensors of CUT3R's .pth as safetensors and return their number; a tensor under two names goes once.

    Raises WeightsError as :func:`read_container` does, and where ``target`` exists or cannot be written.
    """
    from safetensors.torch import save_file

    source, target = Path(source), Path(target)
    if target.exists():
        raise WeightsError(f"{target} exists already: delete it first or choose another name.")
    kept = without_second_names(read_container(source))
    partial = target.with_name(target.name + ".part")
    try:
        save_file({name: value.contiguous() for name, value in kept.items()}, partial, {"format": "pt"})
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise WeightsError(
            f"{target} cannot be written ({error}): free some space or choose another folder."
        ) from error
    return len(kept)


def own_name(name: str) -> str:
    """What the network calls a tensor: DPT heads list four convolutions twice, ``layer1_rn`` is ``layer_rn.0``."""
    for level in range(1, 5):
        name = name.replace(f".scratch.layer{level}_rn.", f".scratch.layer_rn.{level - 1}.")
    return name


def without_second_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor once, under the name the network has for it; that name counts where a file has both."""
    named = ((name, own_name(name), value) for name, value in tensors.items())
    return {own: value for name, own, value in named if own == name or own not in tensors}
