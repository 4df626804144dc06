"""Small files of weights in the published layouts, for tests: names and shapes are right, numbers are drawn by seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pavas_core.models.network import FlowTransformer, NetworkConfig
from pavas_core.models.vae import MelVae, VaeConfig
from pavas_core.models.vocoder import BigVgan, VocoderConfig
from tests.parity import fill

NETWORK = NetworkConfig(20, 128, 4, 2)
"""As wide in its conditions as the published ones, so that it takes what their encoders give."""
VAE = VaeConfig(80, 20, 16)
VOCODER = VocoderConfig(80, (16, 16), (32, 32), True, 16000, channels=16)


def filled(module: nn.Module, seed: int = 1) -> dict[str, Tensor]:
    """A network's state dict with seeded numbers."""
    with torch.no_grad():
        fill(module, seed=seed, keep=(".filter",))
    return module.state_dict()


@dataclass(frozen=True)
class Files:
    """Where each part was written."""

    network: Path
    vae: Path
    vocoder: Path


def write_sound_files(folder: Path, network: NetworkConfig = NETWORK) -> Files:
    """A network, a VAE and a vocoder of 16 kHz, under names that say nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / "one.safetensors", folder / "two.pth", folder / "three.pt")
    save_file(filled(FlowTransformer(network)), files.network)
    torch.save(filled(MelVae(VAE)), files.vae)
    torch.save({"generator": filled(BigVgan(VOCODER))}, files.vocoder)
    return files


def write_clip(path: Path, *, width: int, embed_dim: int, text_width: int) -> Path:
    """A CLIP of open_clip's layout with one layer a tower and pictures of 28 px."""
    from pavas_core.models.clip_encoder import ClipEncoder

    vision = {"image_size": 28, "layers": 1, "width": width, "head_width": 64, "patch_size": 14, "mlp_ratio": 2.0}
    text = {"context_length": 77, "vocab_size": 49408, "width": text_width, "heads": 1, "layers": 1}
    model = ClipEncoder({"embed_dim": embed_dim, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text})
    save_file(filled(model.clip), path)
    return path


def write_synchformer(path: Path) -> Path:
    """Synchformer's visual encoder as fp16, in the published layout, of few numbers again and again."""
    from pavas_core.models.synchformer import PREFIX, SyncEncoder

    drawn = 0.02 * torch.randn(4096, generator=torch.Generator().manual_seed(1))

    def repeated(shape: torch.Size) -> Tensor:
        return drawn.half().repeat(-(-shape.numel() // len(drawn)))[: shape.numel()].view(shape).clone()

    shapes = {name: value.shape for name, value in SyncEncoder(device="meta").state_dict().items()}
    save_file({PREFIX + name: repeated(shape) for name, shape in shapes.items()}, path)
    return path


def write_encoder_stubs(folder: Path) -> None:
    """Files that are told as CLIP and Synchformer but hold only the tensors that tell so."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = {
        "visual.conv1.weight": torch.zeros(8, 3, 14, 14),
        "visual.positional_embedding": torch.zeros(5, 8),
        "visual.proj": torch.zeros(8, 1024),
        "token_embedding.weight": torch.zeros(2, 8),
        "ln_final.weight": torch.zeros(1024),
    }
    sync = {
        "vfeat_extractor.patch_embed_3d.proj.weight": torch.zeros(1),
        "vfeat_extractor.temp_embed": torch.zeros(1),
        "vfeat_extractor.spatial_attn_agg.cls_token": torch.zeros(1),
    }
    save_file(clip, folder / "four.safetensors")
    save_file(sync, folder / "five.safetensors")
