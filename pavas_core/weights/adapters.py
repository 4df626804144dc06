"""Files of Phy-Adapters: an adapter alone, with low-rank updates of its backbone, or with the whole backbone.

A safetensors file whose tensors are named ``phy_adapter.<name>``, ``low_rank.<backbone weight>.down`` and ``.up`` (the
weight's update is ``up @ down``), and the backbone's own names. The text entry ``pavas`` says, as JSON, how the adapter
is built and for which backbone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavas_core.errors import WeightsError
from pavas_core.weights.contents import ADAPTER_PREFIX, LOW_RANK_PREFIX
from pavas_core.weights.reading import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

    from pavas_core.models.network import NetworkConfig
    from pavas_core.models.phy_adapter import AdapterConfig, PhyAdapter

ENTRY = "pavas"
BACKBONE_FIELDS = ("latent_dim", "hidden_dim", "depth", "fused_depth", "version")
"""What must agree between an adapter and the network it is put on."""


def save_adapter(
    path: Path, adapter: PhyAdapter, backbone: NetworkConfig, backbone_tensors: Mapping[str, Tensor] | None = None
) -> None:
    """Write an adapter for networks like ``backbone``, with low-rank updates or a whole backbone if given."""
    from safetensors.torch import save_file

    tensors = {ADAPTER_PREFIX + name: value for name, value in adapter.state_dict().items()}
    tensors |= dict(backbone_tensors or {})
    said = {
        "adapter": dataclasses.asdict(adapter.config),
        "backbone": {name: getattr(backbone, name) for name in BACKBONE_FIELDS},
    }
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, {ENTRY: json.dumps(said)})


def configs_of(checkpoint: Checkpoint) -> tuple[AdapterConfig, dict[str, int]]:
    """How the adapter in a file is built, and the fields of the backbone it was trained on. Raises WeightsError."""
    from pavas_core.models.phy_adapter import AdapterConfig

    try:
        said: dict[str, Any] = json.loads(checkpoint.metadata[ENTRY])
        backbone = {name: int(said["backbone"][name]) for name in BACKBONE_FIELDS}
        return AdapterConfig(**said["adapter"]), backbone
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{checkpoint.path.name} has tensors of a Phy-Adapter but does not say how it is built or for which "
            f"network ({error}): use the .safetensors file that its training wrote."
        ) from error


def check_backbone(checkpoint: Checkpoint, trained_on: Mapping[str, int], network: NetworkConfig) -> None:
    """Raise WeightsError, naming what differs, where an adapter belongs to another network."""
    differing = [name for name in BACKBONE_FIELDS if trained_on[name] != getattr(network, name)]
    if differing:
        theirs = ", ".join(f"{name} {trained_on[name]}" for name in differing)
        ours = ", ".join(f"{name} {getattr(network, name)}" for name in differing)
        raise WeightsError(
            f"The adapter {checkpoint.path.name} was trained for {_named(trained_on)} ({theirs}), and this network is "
            f"{_named({name: getattr(network, name) for name in BACKBONE_FIELDS})} ({ours}): load it with the network "
            "it was trained for."
        )


def _named(fields: Mapping[str, int]) -> str:
    from pavas_core.models.network import VARIANTS

    for name, config in VARIANTS.items():
        if all(getattr(config, field) == value for field, value in fields.items()):
            return name
    return "a network that was never published"


def adapter_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The adapter's own tensors under its names."""
    return {
        name.removeprefix(ADAPTER_PREFIX): value for name, value in tensors.items() if name.startswith(ADAPTER_PREFIX)
    }


def with_low_rank(backbone: Mapping[str, Tensor], updates: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """Backbone tensors with a file's low-rank updates added, in fp32. Raises WeightsError where one does not fit."""
    merged = dict(backbone)
    for name in updates:
        if not (name.startswith(LOW_RANK_PREFIX) and name.endswith(".down")):
            continue
        weight = name.removeprefix(LOW_RANK_PREFIX).removesuffix(".down") + ".weight"
        up, down = updates[name.removesuffix("down") + "up"].float(), updates[name].float()
        base = merged.get(weight)
        if base is None or base.shape[0] != up.shape[0] or base[0].numel() != down[0].numel():
            raise WeightsError(f"{file} updates the tensor {weight}, which this network has not or in another shape.")
        merged[weight] = (base.float() + (up @ down.flatten(1)).view(base.shape)).to(base.dtype)
    return merged
