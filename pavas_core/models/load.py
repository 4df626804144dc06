"""Networks built from files of weights.

Every loader takes its file's role and variant from the tensors, demands every tensor the network has and no other but
the known superfluous ones, and makes the network of the host's layers, in the type asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from pavas_core.errors import WeightsError
from pavas_core.models import casting, vae, vocoder
from pavas_core.models.clip_encoder import ClipEncoder, clip_config
from pavas_core.models.layers import lay_out_for_cpu
from pavas_core.models.network import COMPUTED_KEYS, FlowTransformer
from pavas_core.models.phy_adapter import PhyAdapter
from pavas_core.models.synchformer import PREFIX as SYNC_PREFIX
from pavas_core.models.synchformer import SyncEncoder
from pavas_core.weights import adapters
from pavas_core.weights.contents import ADAPTER_PREFIX, LOW_RANK_PREFIX, ROLES, Contents, identify, unwrapped
from pavas_core.weights.reading import Checkpoint, read_tensors

if TYPE_CHECKING:
    from pavas_core.runtime import Runtime

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Backbone:
    """A sound network with the adapter that came in its file or beside it, if any."""

    network: FlowTransformer
    adapter: PhyAdapter | None
    contents: Contents


def expect(path: Path, role: str) -> tuple[Checkpoint, Contents]:
    """Open a file that should hold ``role``. Raises WeightsError that says what it is instead."""
    checkpoint = read_tensors(path)
    contents = identify(checkpoint.shapes, checkpoint.path.name)
    if contents.role != role:
        raise WeightsError(
            f"{checkpoint.path.name} is {contents}, and {ROLES[role]} is needed here: choose another file."
        )
    return checkpoint, contents


def load_backbone(
    path: Path,
    *,
    adapter: Path | None = None,
    dtype: torch.dtype,
    eight_bits: bool = False,
    runtime: Runtime | None = None,
) -> Backbone:
    """A sound network, its adapter from the same file or from ``adapter``, whose low-rank updates are merged.

    With ``eight_bits`` its large weights are stored in float8; it still computes in ``dtype``.
    """
    checkpoint, contents = expect(path, "network")
    tensors = _bare(checkpoint)
    extra = (ADAPTER_PREFIX, LOW_RANK_PREFIX)
    backbone = {name: value for name, value in tensors.items() if not name.startswith(extra)}
    backbone = {name: value for name, value in backbone.items() if name not in COMPUTED_KEYS}
    source: Checkpoint | None = checkpoint if contents.has_adapter else None
    if adapter is not None:
        source, _ = expect(adapter, "adapter")
    if source is not None:
        config, trained_on = adapters.configs_of(source)
        adapters.check_backbone(source, trained_on, contents.config)
        backbone = adapters.with_low_rank(backbone, source.tensors, source.path.name)
    layers = casting if eight_bits else nn
    network = _built(
        lambda **build: FlowTransformer(contents.config, **build),
        backbone,
        checkpoint,
        contents,
        dtype,
        runtime,
        layers,
    )
    if eight_bits:
        casting.store_in_eight_bits(network)
    if runtime is None or torch.device(runtime.device).type == "cpu":
        lay_out_for_cpu(network)
    if source is None:
        return Backbone(network, None, contents)
    module = _built(
        # Small and full of free parameters: it is moved whole, in fp32.
        lambda **build: PhyAdapter(config, **(build | {"operations": nn})),
        adapters.adapter_tensors(source.tensors),
        source,
        Contents("adapter", "", config),
        torch.float32,
        runtime,
    )
    return Backbone(network, module, replace(contents, has_adapter=True))


def load_vae(path: Path, *, dtype: torch.dtype, encoder: bool = False, runtime: Runtime | None = None) -> vae.MelVae:
    """A mel VAE that decodes; with its ``encoder`` as well only on demand, because making sound never encodes one."""
    checkpoint, contents = expect(path, "vae")
    stored = {
        name: value.float() for name, value in _bare(checkpoint).items() if encoder or not name.startswith("encoder.")
    }
    return _built(
        lambda **build: vae.MelVae(contents.config, encoder=encoder, **build),
        vae.fold_state_dict(stored),
        checkpoint,
        contents,
        dtype,
        runtime,
    )


def load_vocoder(path: Path, *, dtype: torch.dtype, runtime: Runtime | None = None) -> vocoder.BigVgan:
    """A BigVGAN generator, weight-normed in either spelling or folded."""
    checkpoint, contents = expect(path, "vocoder")
    stored = {name: value.float() for name, value in _bare(checkpoint).items()}
    return _built(
        lambda **build: vocoder.BigVgan(contents.config, **build),
        vocoder.fold_state_dict(stored),
        checkpoint,
        contents,
        dtype,
        runtime,
    )


def load_synchformer(path: Path, *, dtype: torch.dtype, runtime: Runtime | None = None) -> SyncEncoder:
    """Synchformer's visual encoder, out of the whole Synchformer where the file has all of it."""
    checkpoint, contents = expect(path, "synchformer")
    tensors = _bare(checkpoint)
    visual = {name: value for name, value in tensors.items() if name.startswith(SYNC_PREFIX)} or tensors
    return _built(
        SyncEncoder,
        {name.removeprefix(SYNC_PREFIX): value for name, value in visual.items()},
        checkpoint,
        contents,
        dtype,
        runtime,
    )


def load_clip(path: Path, *, dtype: torch.dtype, runtime: Runtime | None = None) -> ClipEncoder:
    """open_clip's CLIP with both towers, of the size the file's tensors say."""
    checkpoint, contents = expect(path, "clip")
    tensors = _bare(checkpoint)
    config = clip_config({name: tuple(value.shape) for name, value in tensors.items()})
    if "logit_scale" in tensors:
        tensors["logit_scale"] = tensors["logit_scale"].reshape(())  # some files have it as a list of one
    return _built(
        # A library's network is not made of the host's layers: it is moved whole.
        lambda operations=None, **build: ClipEncoder(config, **build),
        {f"clip.{name}": value for name, value in tensors.items()},
        checkpoint,
        contents,
        dtype,
        runtime,
    )


def _bare(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {name: checkpoint.tensors[original] for name, original in unwrapped(checkpoint.tensors).items()}


def _built(
    make: Callable[..., Module],
    tensors: Mapping[str, Tensor],
    checkpoint: Checkpoint,
    contents: Contents,
    dtype: torch.dtype,
    runtime: Runtime | None,
    layers: Any = nn,
) -> Module:
    """The network with the file's tensors, which must be exactly those it has, of the host's layers or ``layers``."""
    # Names and shapes are checked on a twin of plain layers: a host's layers may create theirs while loading.
    check_tensors(make(device="meta"), tensors, checkpoint.path.name, str(contents))
    operations = (runtime.operations if runtime else None) or layers
    module = make(operations=operations, dtype=dtype, device="meta")
    module.load_state_dict({name: value.to(dtype) for name, value in tensors.items()}, assign=True)
    return module.eval().requires_grad_(False)


def check_tensors(twin: nn.Module, tensors: Mapping[str, Tensor], file: str, what: str) -> None:
    """Raise WeightsError, naming a few, where a file's tensors are not exactly those of ``twin``."""
    expected = {name: tuple(value.shape) for name, value in twin.state_dict().items()}
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    wrong = [
        f"{name} {tuple(tensors[name].shape)} instead of {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    faults = [
        f"{len(names)} {fault}, such as {names[0]}"
        for names, fault in ((missing, "missing"), (unknown, "unknown"), (wrong, "of the wrong shape"))
        if names
    ]
    if faults:
        raise WeightsError(f"{file} should be {what} but has tensors {'; '.join(faults)}: download it again.")
