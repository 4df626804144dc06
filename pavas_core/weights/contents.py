"""What a file of weights is, told from its tensors' names and shapes and never from its own name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pavas_core.errors import WeightsError

Shapes = Mapping[str, Sequence[int]]

ADAPTER_PREFIX = "phy_adapter."
LOW_RANK_PREFIX = "low_rank."
SYNC_PREFIX = "vfeat_extractor."
WRAPPING_PREFIXES = ("module.", "_orig_mod.", "generator.", "vocoder.")
"""What training wrappers put before every name."""

ROLES = {
    "network": "a sound network",
    "vae": "a mel VAE",
    "vocoder": "a BigVGAN vocoder",
    "synchformer": "a Synchformer visual encoder",
    "clip": "an open_clip CLIP model",
    "adapter": "a Phy-Adapter",
}
SIGNS = {
    "network": ("final_layer.conv.weight", "audio_input_proj.0.weight", "joint_blocks.0.latent_block.attn.qkv.weight"),
    "vae": ("decoder.conv_in.weight", "decoder.mid.attn_1.qkv.weight", "data_mean"),
    "vocoder": ("conv_pre.bias", "ups.0.0.bias", "resblocks.0.activations.0.act.alpha"),
    "synchformer": ("patch_embed_3d.proj.weight", "temp_embed", "spatial_attn_agg.cls_token"),
    "clip": ("visual.conv1.weight", "token_embedding.weight", "ln_final.weight"),
}
"""Tensors that together only this kind of network has."""
STRANGERS = {
    "a CLIP model in the layout of transformers (open_clip's is needed: open_clip_pytorch_model.bin)": (
        "vision_model.embeddings.patch_embedding.weight",
    ),
    "BigVGAN's discriminator, which only training needs": ("mpd.discriminators.0.convs.0.weight_g",),
    "an image or video diffusion model": ("model.diffusion_model.input_blocks.0.0.weight",),
}
"""Files that people pick by mistake."""


@dataclass(frozen=True)
class ClipShape:
    """What tells one CLIP from another, and the widths of what it gives for a picture and for a word."""

    width: int
    patch_px: int
    picture_px: int
    embed_dim: int
    text_width: int


CLIP_VARIANTS = {"ViT-H-14-378": ClipShape(1280, 14, 378, 1024, 1024)}


@dataclass(frozen=True)
class Contents:
    """One file's role and variant, with the configuration that builds the network for it."""

    role: str
    """A key of :data:`ROLES`."""
    variant: str
    """``large_44k_v2``, ``44k`` and the like; ``custom`` for a shape that was never published."""
    config: Any
    """NetworkConfig, VaeConfig, VocoderConfig or ClipShape; None for roles with one shape, or whose file says it."""
    has_adapter: bool = False
    """A network's file that holds a Phy-Adapter too."""

    def __str__(self) -> str:
        extra = " with a Phy-Adapter" if self.has_adapter else ""
        return f"{ROLES[self.role]} ({self.variant}){extra}" if self.variant else ROLES[self.role] + extra


def role_of_names(names: Collection[str]) -> str | None:
    """The role told from names alone; None for a file that is of no use here."""
    bare = set(unwrapped(names))
    for role, signs in SIGNS.items():
        if bare.issuperset(signs) or (role == "synchformer" and bare.issuperset(SYNC_PREFIX + sign for sign in signs)):
            return role
    return "adapter" if any(name.startswith(ADAPTER_PREFIX) for name in bare) else None


def unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Names without the prefix that a training wrapper put before all of them: bare name -> name in the file."""
    names = list(names)
    for prefix in WRAPPING_PREFIXES:
        marked = [name for name in names if name.startswith(prefix)]
        if marked and any(name.removeprefix(prefix) in _ALL_SIGNS for name in marked):
            return {name.removeprefix(prefix): name for name in marked}
    return {name: name for name in names}


_ALL_SIGNS = {sign for signs in SIGNS.values() for sign in (*signs, *(SYNC_PREFIX + sign for sign in signs))}


def identify(shapes: Shapes, file: str) -> Contents:
    """What a file holds. ``file`` is its name for messages. Raises WeightsError for a file that is of no use."""
    bare = {name: tuple(shapes[original]) for name, original in unwrapped(shapes).items()}
    role = role_of_names(bare)
    if role is None:
        raise WeightsError(f"{file} is {_stranger(bare)}: none of {_listed(ROLES.values())} has such tensors.")
    try:
        return _BY_ROLE[role](bare)
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(
            f"{file} looks like {ROLES[role]} but lacks some of its tensors ({error}): download it again."
        ) from error


def _stranger(names: Collection[str]) -> str:
    for what, signs in STRANGERS.items():
        if all(sign in names for sign in signs):
            return what
    shown = ", ".join(sorted(names)[:2])
    return f"a file of unknown weights ({len(names)} tensors, such as {shown})" if names else "a file without tensors"


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}"


def _variant(config: Any, variants: Mapping[str, Any]) -> str:
    return next((name for name, known in variants.items() if known == config), "custom")


def _network(shapes: Shapes) -> Contents:
    from pavas_core.models.network import VARIANTS, config_from_shapes

    config = config_from_shapes(shapes)
    has_adapter = any(name.startswith(ADAPTER_PREFIX) for name in shapes)
    return Contents("network", _variant(config, VARIANTS), config, has_adapter)


def _vae(shapes: Shapes) -> Contents:
    from pavas_core.models.vae import VAE_VARIANTS, VaeConfig

    config = VaeConfig(
        mel_bins=shapes["decoder.conv_out.weight"][0],
        latent_dim=shapes["decoder.conv_in.weight"][1],
        width=shapes["decoder.conv_out.weight"][1],
    )
    return Contents("vae", _variant(config, VAE_VARIANTS), config)


def _vocoder(shapes: Shapes) -> Contents:
    from pavas_core.models.vocoder import VOCODER_VARIANTS, VocoderConfig

    def folded(name: str) -> Sequence[int]:
        spellings = (f"{name}.weight", f"{name}.weight_v", f"{name}.parametrizations.weight.original1")
        return next(shapes[spelling] for spelling in spellings if spelling in shapes)

    channels, mel_bins, _ = folded("conv_pre")
    stages = sum(name.startswith("ups.") and name.endswith(".0.bias") for name in shapes)
    kernels = tuple(folded(f"ups.{stage}.0")[2] for stage in range(stages))
    # Both published generators have kernels of twice the rate, and are told apart by the output's bias.
    tanh = "conv_post.bias" in shapes
    config = VocoderConfig(
        mel_bins=mel_bins,
        rates=tuple(kernel // 2 for kernel in kernels),
        kernels=kernels,
        tanh=tanh,
        sample_rate=16000 if tanh else 44100,
        channels=channels,
    )
    return Contents("vocoder", _variant(config, VOCODER_VARIANTS), config)


def _synchformer(shapes: Shapes) -> Contents:
    return Contents("synchformer", "", None)


def _clip(shapes: Shapes) -> Contents:
    grid, width = shapes["visual.positional_embedding"]
    patch = shapes["visual.conv1.weight"][2]
    shape = ClipShape(
        width, patch, round((grid - 1) ** 0.5) * patch, shapes["visual.proj"][1], shapes["ln_final.weight"][0]
    )
    return Contents("clip", _variant(shape, CLIP_VARIANTS), shape)


def _adapter(shapes: Shapes) -> Contents:
    return Contents("adapter", "", None)


_BY_ROLE = {
    "network": _network,
    "vae": _vae,
    "vocoder": _vocoder,
    "synchformer": _synchformer,
    "clip": _clip,
    "adapter": _adapter,
}
