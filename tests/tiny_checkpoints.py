"""Tiny randomly initialised checkpoints in the real formats: weights, configuration, tokenizer, processor."""

from __future__ import annotations

import json
import sys
from pathlib import Path

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>",
)  # fmt: skip
BART_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "<image>")


def byte_tokenizer(special: tuple[str, ...], folder: Path, words: tuple[str, ...] = ()) -> int:
    """Write a tokenizer of ``special`` tokens, single bytes and whole ``words``; return how many tokens it has."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in words])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer.get_vocab_size()


def save_qwen(folder: Path, family: str = "qwen2_5_vl", seed: int = 0, says: str = "") -> Path:
    """A Qwen2.5-VL or Qwen3-VL of a few thousand weights, its other files as those on the model hub.

    With ``says``, its weights make it answer with those words, whatever it is asked.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    size = byte_tokenizer(QWEN_TOKENS, folder, (says,) if says else ())
    ids = {token: index for index, token in enumerate(QWEN_TOKENS)}
    text = {
        "vocab_size": size, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32768, "head_dim": 8,
        "rope_scaling": {
            "type": "mrope", "rope_type": "default", "mrope_section": [1, 1, 2], "mrope_interleaved": True
        },
        "bos_token_id": 0, "eos_token_id": ids["<|im_end|>"], "pad_token_id": 0,
    }  # fmt: skip
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": 32}
    if family == "qwen2_5_vl":
        vision |= {"window_size": 56, "fullatt_block_indexes": [1], "patch_size": 14, "spatial_merge_size": 2}
    else:
        vision |= {"deepstack_visual_indexes": [0], "patch_size": 16, "num_position_embeddings": 64}
    config = AutoConfig.for_model(
        family, text_config=text, vision_config=vision, image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"], vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )  # fmt: skip
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(config)
    if says:
        _speak(model, says, size - 1, ids["<|im_end|>"], folder)
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = 0
    # Published settings sample; ours must not.
    model.generation_config.do_sample, model.generation_config.temperature = True, 0.7
    model.save_pretrained(folder, safe_serialization=True)
    patch = vision["patch_size"]
    sizes = {
        "patch_size": patch, "merge_size": 2, "temporal_patch_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
        "processor_class": {"qwen2_5_vl": "Qwen2_5_VLProcessor", "qwen3_vl": "Qwen3VLProcessor"}[family],
    }  # fmt: skip
    limits = {"min_pixels": (2 * patch) ** 2, "max_pixels": (6 * patch) ** 2}
    _write(folder / "preprocessor_config.json", sizes | limits | {"image_processor_type": "Qwen2VLImageProcessorFast"})
    videos = {"qwen2_5_vl": "Qwen2VLVideoProcessor", "qwen3_vl": "Qwen3VLVideoProcessor"}[family]
    _write(folder / "video_preprocessor_config.json", sizes | {"video_processor_type": videos})
    _write(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})
    (folder / "vocab.json").write_text("{}", encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
            "additional_special_tokens": list(QWEN_TOKENS), "model_max_length": 32768,
            "processor_class": sizes["processor_class"], "chat_template": CHAT_TEMPLATE,
        },
    )  # fmt: skip
    return folder


def _speak(model, says: str, word: int, end: int, folder: Path) -> None:
    """Weights of a model that says the token ``word`` after the line break that ends the question, then stops."""
    import torch
    from tokenizers import Tokenizer

    (line_break,) = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("\n").ids
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "visual" not in name and name.endswith(("o_proj.weight", "down_proj.weight")):
                value.zero_()  # what a layer adds
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        for token, follower, axis in ((line_break, word, 0), (word, end, 1)):
            embedding[token], head[follower] = 0.0, 0.0
            embedding[token, axis] = head[follower, axis] = 4.0


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def save_sam2_transformers(folder: Path, seed: int = 0) -> Path:
    """A SAM 2 video model at 128 x 128 in the format of transformers."""
    import torch
    from transformers import (
        Sam2HieraDetConfig,
        Sam2ImageProcessorFast,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VideoVideoProcessor,
        Sam2VisionConfig,
    )

    backbone = Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[128, 128], blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 4, 8, 4], global_attention_blocks=[4],
        window_positional_embedding_background_size=[4, 4],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=128,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=vision, image_size=128,
        prompt_encoder_config={"hidden_size": 128, "image_size": 128, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
        memory_attention_hidden_size=128, memory_attention_num_layers=1, memory_attention_num_attention_heads=1,
        memory_attention_feed_forward_hidden_size=64, memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=128, memory_encoder_output_channels=64, memory_fuser_num_layers=1,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=64, mask_downsampler_embed_dim=128,
    )  # fmt: skip
    torch.manual_seed(seed)
    Sam2VideoModel(config).save_pretrained(folder, safe_serialization=True)
    images = Sam2ImageProcessorFast(size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32})
    videos = Sam2VideoVideoProcessor(size={"height": 128, "width": 128})
    Sam2VideoProcessor(image_processor=images, video_processor=videos, target_size=128).save_pretrained(folder)
    return folder


def save_florence(folder: Path, seed: int = 0, says: str = "") -> Path:
    """A Florence-2 at 64 x 64 for transformers' own class, its other files as those on the model hub.

    With ``says``, its weights make it answer with those words, such as ``ball<loc_10><loc_20><loc_30><loc_40>``.
    """
    import torch
    from transformers import Florence2Config, Florence2ForConditionalGeneration

    places = tuple(f"<loc_{index}>" for index in range(1000))
    size = byte_tokenizer((*BART_TOKENS, *places), folder)
    config = Florence2Config(
        text_config={
            "model_type": "bart", "vocab_size": size, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
            "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
            "max_position_embeddings": 1024, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
            "decoder_start_token_id": 2, "forced_eos_token_id": 2,
        },
        vision_config={
            "embed_dim": [8, 16, 16, 32], "num_heads": [1, 1, 1, 2], "num_groups": [1, 1, 1, 2], "depths": [1, 1, 1, 1],
            "window_size": 2, "projection_dim": 32,
        },
        image_token_id=5, bos_token_id=0, pad_token_id=1, eos_token_id=2, is_encoder_decoder=True,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = Florence2ForConditionalGeneration(config)
    if says:
        _dictate(model, says, folder)
    model.save_pretrained(folder, safe_serialization=True)
    _write(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "CLIPImageProcessor", "processor_class": "Florence2Processor",
            "size": {"height": 64, "width": 64}, "do_center_crop": False, "image_seq_length": 5,
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
        },
    )  # fmt: skip
    post = {"phrase_grounding": {"banned_grounding_tokens": ["it", "the image"]}, "pure_text": {}}
    own = {"processor_class": "Florence2Processor", "num_additional_image_tokens": 0, "post_processor_config": post}
    _write(folder / "processor_config.json", own)
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _write(
        folder / "tokenizer_config.json",
        names
        | {
            "tokenizer_class": "BartTokenizer", "model_max_length": 1024, "processor_class": "Florence2Processor",
            "additional_special_tokens": ["<image>", *places], "extra_special_tokens": {"image_token": "<image>"},
        },
    )  # fmt: skip
    return folder


def _dictate(model, says: str, folder: Path) -> None:
    """Weights of a decoder whose positions, not its input, say what comes next."""
    import torch
    from tokenizers import Tokenizer

    end = 2
    tokens = [*Tokenizer.from_file(str(folder / "tokenizer.json")).encode(says).ids, end]
    decoder = model.model.language_model.decoder
    with torch.no_grad():
        for name, value in decoder.named_parameters():
            if ".out_proj." in name or ".fc2." in name:
                value.zero_()  # what a layer adds
        embedding, positions = model.get_input_embeddings().weight, decoder.embed_positions.weight
        for place in range(len(tokens)):
            positions[place + 2].zero_()  # positions are stored from 2 on
            positions[place + 2, place] = 40.0
        for token in set(tokens):
            embedding[token].zero_()
        for place, token in enumerate(tokens):
            embedding[token, place] = 4.0


SAM2_OVERRIDES = {"model.image_size": 128, "model.memory_attention.num_layers": 1}


def save_sam2_official(path: Path, seed: int = 0, version: str = "sam2.1") -> Path:
    """Random weights of the smallest SAM 2.1 (or 2), in the shape of Meta's files: ``{"model": tensors}``."""
    import importlib

    import torch
    from omegaconf import OmegaConf

    from pavas_core.estimation.masks.sam2_package import _predictor_class

    _predictor_class()
    from hydra.utils import instantiate

    root = Path(importlib.import_module("sam2").__path__[0])
    config = OmegaConf.load(root / "configs" / version / f"{version}_hiera_t.yaml")
    for name, value in SAM2_OVERRIDES.items():
        OmegaConf.update(config, name, value, force_add=True)
    torch.manual_seed(seed)
    model = instantiate(config.model, _recursive_=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict()}, path)
    return path


VLM_SAYS = (
    '[{"object": "orange ball", "action": "bounces", "material": "rubber", '
    '"mass_kg": 0.6, "low_kg": 0.5, "high_kg": 0.7}]'
)
FLORENCE_SAYS = "orange ball<loc_5><loc_130><loc_105><loc_310>"
"""Where the ball of the example clip is in its first picture."""


def save_estimators(models: Path) -> None:
    """What the full physics template loads, apart from CUT3R, in ComfyUI's folders below ``models``."""
    save_qwen(models / "VLM" / "tiny-vlm", "qwen3_vl", says=VLM_SAYS)
    save_florence(models / "florence2" / "tiny-florence", says=FLORENCE_SAYS)
    save_sam2_transformers(models / "sam2" / "tiny-sam2", seed=3)


if __name__ == "__main__":
    # Written by the Python that will read them: what version 5 of transformers writes, version 4 cannot read.
    save_estimators(Path(sys.argv[1]))
