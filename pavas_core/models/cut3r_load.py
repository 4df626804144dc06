"""CUT3R from its released files: 224 with linear heads or 512 with DPT heads, told by the tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from pavas_core.errors import WeightsError
from pavas_core.models.cut3r import VARIANTS, Cut3r, Cut3rConfig, config_from_shapes
from pavas_core.models.load import check_tensors
from pavas_core.runtime import Runtime
from pavas_core.weights.cut3r_container import read_container, without_second_names


@dataclass(frozen=True)
class Cut3rModel:
    """A loaded network and where it came from (the PAVAS_CUT3R wire)."""

    network: Cut3r
    name: str
    """File name and variant, for people."""
    path: Path

    @property
    def size(self) -> int:
        """512 or 224: the picture size the network was trained for."""
        return self.network.config.size


def load_cut3r(path: Path, *, precision: str = "auto", runtime: Runtime | None = None) -> Cut3rModel:
    """The network for videos: strictly, every tensor of the release must be there in its shape and no other.

    Heads and the ray-map encoder, which videos do not need, are checked but not kept. ``precision`` is that of the
    matrix products. Raises WeightsError for a file that is no CUT3R, and PavasError for an unknown precision.
    """
    runtime = runtime or Runtime()
    dtype = runtime.dtype(precision)
    path = Path(path)
    tensors = without_second_names(read_container(path))
    config, variant = identify_cut3r(tensors, path.name)
    check_tensors(Cut3r(config, device="meta"), tensors, path.name, f"CUT3R ({variant})")
    network = Cut3r(
        replace(config, ray_maps=False, all_heads=False),
        operations=runtime.operations or nn,
        dtype=dtype,
        device="meta",
    )
    twin = Cut3r(replace(config, ray_maps=False, all_heads=False), dtype=dtype, device="meta").state_dict()
    network.load_state_dict({name: tensors[name].to(part.dtype) for name, part in twin.items()}, assign=True)
    return Cut3rModel(network.eval().requires_grad_(False), f"{path.name} ({variant})", path)


def identify_cut3r(tensors: Mapping[str, Tensor], file: str) -> tuple[Cut3rConfig, str]:
    """Configuration and variant of a state dict. Raises WeightsError where it is none of CUT3R's."""
    try:
        config = config_from_shapes({name: tuple(value.shape) for name, value in tensors.items()})
    except (KeyError, IndexError) as error:
        raise WeightsError(
            f"{file} is no CUT3R checkpoint: choose cut3r_512_dpt_4_64.pth or cut3r_224_linear_4.pth."
        ) from error
    return config, next((name for name, known in VARIANTS.items() if known == config), "custom size")
