"""The CLIP model of the published networks (DFN5B ViT-H/14 at 378 px), built by open_clip without a download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

HEAD_WIDTHS = {1280: 80}
"""Width of an attention head where it is not 64, by the tower's width: it leaves no trace in the tensors."""


def clip_config(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """open_clip's configuration of a model with these tensors. Raises KeyError if they are not open_clip's."""
    width, _, patch, _ = shapes["visual.conv1.weight"]
    side = round((shapes["visual.positional_embedding"][0] - 1) ** 0.5)
    text_width = shapes["ln_final.weight"][0]

    def layers(prefix: str) -> int:
        return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in shapes if name.startswith(prefix))

    return {
        "embed_dim": shapes["visual.proj"][1],
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": side * patch,
            "layers": layers("visual.transformer.resblocks."),
            "width": width,
            "head_width": HEAD_WIDTHS.get(width, 64),
            "patch_size": patch,
            "mlp_ratio": shapes["visual.transformer.resblocks.0.mlp.c_fc.weight"][0] / width,
        },
        "text_cfg": {
            "context_length": shapes["positional_embedding"][0],
            "vocab_size": shapes["token_embedding.weight"][0],
            "width": text_width,
            "heads": max(1, text_width // 64),
            "layers": layers("transformer.resblocks."),
        },
    }


class ClipEncoder(nn.Module):
    """Pictures and prompts to the tokens the networks were trained on.

    The model is open_clip's, so that its state dict is the published one; ``clip`` holds it without a prefix.
    """

    def __init__(self, config: Mapping[str, Any], *, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        from open_clip.model import CLIP

        with torch.device(device or "cpu"):
            self.clip = CLIP(**config)
        length = config["text_cfg"]["context_length"]
        # Built on the meta device it would have no values, and no file holds it.
        self.clip.attn_mask = torch.full((length, length), float("-inf")).triu_(1)
        self.clip.visual.output_tokens = True
        self.clip.to(dtype=dtype)

    @property
    def grid(self) -> int:
        """Patches along one side of a picture."""
        return round((self.clip.visual.positional_embedding.shape[0] - 1) ** 0.5)

    @property
    def side_px(self) -> int:
        """Pixels the model sees of a picture's side, from the top left; the networks were trained on larger ones."""
        return self.grid * self.clip.visual.conv1.kernel_size[0]

    def encode_pictures(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised (B, 3, H, W) -> image features (B, C) of unit length, patch tokens after ln_post (B, P, width)."""
        side = self.side_px
        pooled, patches = self.clip.visual(pictures[..., :side, :side])
        return normalize(pooled.float(), dim=-1), patches

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """int64 (B, context length); what is too long is cut, its end token kept."""
        from open_clip.tokenizer import SimpleTokenizer

        return SimpleTokenizer(context_length=self.clip.positional_embedding.shape[0])(list(texts))

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Every token after ln_final, padding included, of unit length: (B, context length, width)."""
        clip = self.clip
        x = clip.token_embedding(tokens)
        x = x + clip.positional_embedding.to(x)
        x = clip.transformer(x, attn_mask=clip.attn_mask.to(x))
        return normalize(clip.ln_final(x).float(), dim=-1)
