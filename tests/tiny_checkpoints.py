"""Tiny randomly initialised checkpoints in the real formats: weights, configuration, tokenizer, processor."""

from __future__ import annotations

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


def byte_tokenizer(special: tuple[str, ...], folder: Path):
    """A tokenizer of single bytes and ``special`` tokens, read back from ``folder``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(vocabulary)


def save_qwen(folder: Path, family: str = "qwen2_5_vl", seed: int = 0) -> Path:
    """A Qwen2.5-VL or Qwen3-VL of a few thousand weights."""
    import torch
    import transformers
    from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

    size = byte_tokenizer(QWEN_TOKENS, folder)
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
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = 0
    # Published settings sample; ours must not.
    model.generation_config.do_sample, model.generation_config.temperature = True, 0.7
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=list(QWEN_TOKENS), model_max_length=32768,
    )  # fmt: skip
    tokenizer.image_token, tokenizer.video_token = "<|image_pad|>", "<|video_pad|>"
    patch = vision["patch_size"]
    name = "Qwen2VLImageProcessor"
    images = getattr(transformers, name)(
        patch_size=patch, merge_size=2, temporal_patch_size=2, min_pixels=(2 * patch) ** 2, max_pixels=(6 * patch) ** 2
    )
    processor_class = {"qwen2_5_vl": "Qwen2_5_VLProcessor", "qwen3_vl": "Qwen3VLProcessor"}[family]
    video_class = {"qwen2_5_vl": "Qwen2VLVideoProcessor", "qwen3_vl": "Qwen3VLVideoProcessor"}[family]
    videos = getattr(transformers, video_class)(patch_size=patch, merge_size=2, temporal_patch_size=2)
    processor = getattr(transformers, processor_class)(
        image_processor=images, tokenizer=tokenizer, video_processor=videos, chat_template=CHAT_TEMPLATE
    )
    processor.save_pretrained(folder)
    return folder


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
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=64,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=vision, image_size=128,
        prompt_encoder_config={"hidden_size": 64, "image_size": 128, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 64, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
        memory_attention_hidden_size=64, memory_attention_num_layers=1, memory_attention_num_attention_heads=1,
        memory_attention_feed_forward_hidden_size=64, memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=64, memory_encoder_output_channels=16, memory_fuser_num_layers=1,
        memory_fuser_embed_dim=64, memory_fuser_intermediate_dim=64, mask_downsampler_embed_dim=64,
    )  # fmt: skip
    torch.manual_seed(seed)
    Sam2VideoModel(config).save_pretrained(folder, safe_serialization=True)
    images = Sam2ImageProcessorFast(size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32})
    videos = Sam2VideoVideoProcessor(size={"height": 128, "width": 128})
    Sam2VideoProcessor(image_processor=images, video_processor=videos, target_size=128).save_pretrained(folder)
    return folder


def save_florence(folder: Path, seed: int = 0) -> Path:
    """A Florence-2 at 64 x 64 in the format of transformers' own class."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
        PreTrainedTokenizerFast,
    )

    special = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "<image>", *(f"<loc_{index}>" for index in range(1000)))
    size = byte_tokenizer(special, folder)
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
    Florence2ForConditionalGeneration(config).save_pretrained(folder, safe_serialization=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>", additional_special_tokens=list(special[6:]), model_max_length=1024,
        extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    images = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5
    processor = Florence2Processor(
        image_processor=images, tokenizer=tokenizer, num_additional_image_tokens=0,
        post_processor_config={
            "NUM_BBOX_HEIGHT_BINS": 1000, "NUM_BBOX_WIDTH_BINS": 1000, "COORDINATES_HEIGHT_BINS": 1000,
            "COORDINATES_WIDTH_BINS": 1000,
            "parse_tasks": [
                {"TASK_NAME": "phrase_grounding", "FILTER_BY_BOX_AREA": False},
                {"TASK_NAME": "pure_text"},
            ],
        },
    )  # fmt: skip
    processor.save_pretrained(folder)
    return folder


SAM2_OVERRIDES = {"model.image_size": 128, "model.memory_attention.num_layers": 1}


def save_sam2_official(path: Path, seed: int = 0) -> Path:
    """Random weights of the smallest SAM 2.1, in the shape of Meta's files: ``{"model": tensors}``."""
    import importlib

    import torch
    from omegaconf import OmegaConf

    from pavas_core.estimation.sam2_package import _predictor_class

    _predictor_class()
    from hydra.utils import instantiate

    root = Path(importlib.import_module("sam2").__path__[0])
    config = OmegaConf.load(root / "configs" / "sam2.1" / "sam2.1_hiera_t.yaml")
    for name, value in SAM2_OVERRIDES.items():
        OmegaConf.update(config, name, value, force_add=True)
    torch.manual_seed(seed)
    model = instantiate(config.model, _recursive_=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict()}, path)
    return path
