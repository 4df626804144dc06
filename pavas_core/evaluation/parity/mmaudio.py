"""The MMAudio family against numbers recorded from the public reference: every file of them has its check here.

Errors are worst absolute differences, divided by the reference's largest value where that is above 1; those of half
precision are relative root mean squares.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavas_core.evaluation.parity.cases import Case, Row, metadata
from pavas_core.evaluation.parity.weights import fill

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pavas_core.models.network import FlowTransformer
    from pavas_core.sampling.flow import Branch

NETWORK, CODEC, ENCODER, HALF = 2e-5, 1e-4, 5e-4, 5e-2
MEL, TABLE = 1e-5, 1e-6
CFG = 4.5
EULER_STEPS = 5


def error(value: Tensor, reference: Tensor) -> float:
    """Worst absolute difference, relative to the largest reference value above 1; infinite for another shape."""
    if value.shape != reference.shape:
        return float("inf")
    value, reference = value.double(), reference.double()
    return float((value - reference).abs().max() / max(1.0, float(reference.abs().max())))


def relative_rms(value: Tensor, reference: Tensor) -> float:
    """Root mean square of the difference over that of the reference."""
    value, reference = value.double(), reference.double()
    return float((value - reference).square().mean().sqrt() / reference.square().mean().sqrt())


def _load(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


class Taps:
    """Outputs of inner modules in the latest call, by the golden numbers' names."""

    def __init__(self, **watched: nn.Module) -> None:
        self.values: dict[str, Any] = {}
        for name, module in watched.items():
            module.register_forward_hook(self._keeper(name))

    def _keeper(self, name: str) -> Callable[..., None]:
        def keep(_module: Any, _inputs: Any, output: Any) -> None:
            self.values[name] = output

        return keep


def _compare(golden: Mapping[str, Tensor], values: Mapping[str, Tensor], tolerance: float) -> Iterator[Row]:
    """Every value against the tensor of its name, whole or the part of it that the name says (``_first8``, ...)."""
    for name, value in values.items():
        yield name, error(_part(name, value), golden[name]), tolerance


def _part(name: str, value: Tensor) -> Tensor:
    _, _, count = name.rpartition("_first")
    digits = count.rstrip("tokensch")
    return value[:, : int(digits)] if digits.isdigit() else value


# The flow network


def _flow_taps(network: FlowTransformer) -> Taps:
    watched: dict[str, nn.Module] = {"t_embed": network.t_embed, "audio_input_proj": network.audio_input_proj}
    watched |= {f"joint{index}": block for index, block in enumerate(network.joint_blocks)}
    watched |= {f"fused{index}": block for index, block in enumerate(network.fused_blocks)}
    return Taps(**watched)


def _inner(taps: Taps, fused_depth: int) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for name, value in taps.values.items():
        if name.startswith("joint"):
            named |= {
                f"mid.{name}.{stream}": one for stream, one in zip(("latent", "clip", "text"), value, strict=True)
            }
        else:
            named[f"mid.{name}.latent" if name.startswith("fused") else f"mid.{name}"] = value
    named["mid.fused_last.latent"] = named[f"mid.fused{fused_depth - 1}.latent"]
    return named


def check_tiny(path: Path, seed: int) -> Iterator[Row]:
    """A small network: conditions, inner tensors, velocities, guidance, both directions, other lengths, bfloat16."""
    import torch

    from pavas_core.models.layers import lay_out_for_cpu
    from pavas_core.models.network import FlowTransformer, NetworkConfig
    from pavas_core.sampling.flow import Branch, integrate

    golden = _load(path)
    version = 2 if "v2" in path.stem else 1
    config = NetworkConfig(20, 128, 4, 2, version=version, clip_dim=32, sync_dim=24, text_dim=16)
    network = FlowTransformer(config).eval()
    fill(network, seed=seed)
    taps = _flow_taps(network)
    x0, t, text, like = golden["in.x0"], golden["in.t"], golden["in.text_f"], golden["in.clip_f"]
    empty_clip, empty_sync = network.empty_clip(2, 16, like), network.empty_sync(2, 48, like)
    given = network.prepare(golden["in.clip_f"], golden["in.sync_f"], text, 50)
    null = network.prepare(empty_clip, empty_sync, network.empty_text(2, like), 50)
    negative = network.prepare(empty_clip, empty_sync, golden["in.neg_text_f"], 50)
    for prefix, conditions in (("cond", given), ("empty", null), ("neg", negative)):
        parts = {
            "clip_f": conditions.clip,
            "sync_f": conditions.sync_per_token,
            "text_f": conditions.text,
            "clip_f_c": conditions.clip_pooled,
            "text_f_c": conditions.text_pooled,
        }
        yield from _compare(golden, {f"{prefix}.{name}": value for name, value in parts.items()}, NETWORK)
    flow = network(x0, t, given)
    inner = {name: value for name, value in _inner(taps, config.fused_depth).items() if name in golden}
    yield from _compare(golden, {"flow_t0.3": flow, **inner}, NETWORK)
    long = network.prepare(golden["in.long.clip_f"], golden["in.long.sync_f"], text, 83)
    flows = {
        "flow_t_mixed": network(x0, golden["in.t_mixed"], given),
        "flow_t0.3.text_only": network(x0, t, network.prepare(empty_clip, empty_sync, text, 50)),
        "long.flow_t0.3": network(golden["in.long.x0"], t, long),
    }
    yield from _compare(golden, flows, NETWORK)
    for name, branches in (
        ("x1.cfg4.5_empty", [Branch(given, factor=CFG), Branch(null, factor=1 - CFG)]),
        ("x1.cfg4.5_negative", [Branch(given, factor=CFG), Branch(negative, factor=1 - CFG)]),
        ("x1.cfg0_conditional_only", [Branch(given)]),
    ):
        x1 = integrate(partial(_guided, network, branches), x0, EULER_STEPS)
        yield from _compare(golden, {name: x1}, NETWORK)
        if f"{name}.unnormalized" in golden:
            yield from _compare(golden, {f"{name}.unnormalized": network.unnormalize(x1)}, NETWORK)
    end = golden["x1.cfg0_conditional_only"]
    prior = integrate(partial(_guided, network, [Branch(given)]), end, EULER_STEPS, start=1.0, end=0.0)
    yield from _compare(golden, {"x0.to_prior_5_steps_from_x1": prior}, NETWORK)
    # Files are loaded like this for a CPU; the same numbers by other products.
    lay_out_for_cpu(network)
    yield "flow_t0.3 (laid out for the CPU)", error(network(x0, t, given), golden["flow_t0.3"]), NETWORK
    half = FlowTransformer(config).eval()
    half.load_state_dict(network.state_dict())
    half.to(torch.bfloat16)
    clip, sync, words = (golden[f"in.{name}"].bfloat16() for name in ("clip_f", "sync_f", "text_f"))
    rounded = half(x0.bfloat16(), t, half.prepare(clip, sync, words, 50))
    # The reference's own bfloat16 is another function of time for version 2 (it rounds frequencies up to 10 000).
    yield "bfloat16 flow_t0.3, against fp32 (rms)", relative_rms(rounded, golden["flow_t0.3"]), HALF
    if version == 1:
        yield "bf16.flow_t0.3 (rms)", relative_rms(rounded, golden["bf16.flow_t0.3"]), HALF


def _guided(network: FlowTransformer, branches: Sequence[Branch], x: Tensor, t: Tensor) -> Tensor:
    from pavas_core.sampling.flow import guided_flow

    return guided_flow(network, x, t, branches)


def check_full(path: Path, seed: int) -> Iterator[Row]:
    """One call of a network of the released size on 8 s; 4.2 GB of memory for the large ones."""
    from pavas_core.models.layers import lay_out_for_cpu
    from pavas_core.models.network import VARIANTS, FlowTransformer

    golden = _load(path)
    config = VARIANTS[path.stem.removeprefix("full_")]
    network = FlowTransformer(config, device="meta").to_empty(device="cpu").eval()
    fill(network, seed=seed)
    lay_out_for_cpu(network)
    taps = _flow_taps(network)
    x0 = golden["in.x0"]
    given = network.prepare(golden["in.clip_f"], golden["in.sync_f"], golden["in.text_f"], x0.shape[1])
    yield from _compare(golden, {"flow_t0.3": network(x0, golden["in.t"], given)}, NETWORK)
    values = {
        "cond.clip_f_c": given.clip_pooled,
        "cond.clip_f_first8": given.clip,
        "cond.sync_f_first32": given.sync_per_token,
        "cond.text_f_c": given.text_pooled,
        "cond.text_f_first8": given.text,
    }
    inner = _inner(taps, config.fused_depth)
    last = f"mid.joint{config.joint_depth - 1}.latent"
    values |= {f"{name}_first16": inner[name] for name in ("mid.fused_last.latent", "mid.joint0.latent", last)}
    yield from _compare(golden, values, NETWORK)


def check_time(path: Path, seed: int) -> Iterator[Row]:
    """Rotary tables and the embedding of the flow time."""
    import torch

    from pavas_core.models.layers import TimestepEmbedder, apply_rope, rope_table

    golden = _load(path)
    tables = {"latent250": (250, 1.0), "latent345": (345, 1.0)}
    tables |= {
        f"clip{count}_for{length}": (count, length / count) for count, length in ((16, 50), (64, 250), (64, 345))
    }
    for name, (length, scale) in tables.items():
        cos, sin = rope_table(length, scale).unbind(-1)
        rotation = torch.stack([torch.stack([cos, -sin], dim=-1), torch.stack([sin, cos], dim=-1)], dim=-2)
        yield from _compare(golden, {f"rope.{name}": rotation[None]}, NETWORK)
    turned = apply_rope(golden["rope.in.x"], rope_table(64, 345 / 64))
    yield from _compare(golden, {"rope.applied_clip64_for345": turned}, NETWORK)
    for key in sorted(key for key in golden if key.endswith(".freqs")):
        name = key.removesuffix(".freqs")
        version, dim = name.removeprefix("t_embed.").split("_")
        fast = version == "v2"
        embed = TimestepEmbedder(int(dim), int(dim) if fast else 256, 1.0 if fast else 10000.0).eval()
        fill(embed, seed=seed, prefix="t_embed.")
        taps = Taps(first=embed.mlp[0])
        sinusoids: list[Tensor] = []
        embed.mlp[0].register_forward_pre_hook(lambda _module, inputs, kept=sinusoids: kept.append(inputs[0]))
        out = embed(golden["t_embed.in.t"], torch.float32)
        del taps
        values = {f"{name}.freqs": embed.frequencies(), f"{name}.sinusoid": sinusoids[0], f"{name}.out": out}
        yield from _compare(golden, values, NETWORK)


# Codec and front ends


def check_mel(path: Path, _seed: int) -> Iterator[Row]:
    """Waveforms to mels, compared before the logarithm: below -100 dB it shows the rounding of the transform alone."""
    import torch

    from pavas_core.models.mel import MEL_VARIANTS, log_mel

    golden = _load(path)
    config = MEL_VARIANTS[path.stem.removeprefix("mel_")]
    values = {
        f"mel_{length}": log_mel(golden[f"in.wave_{length}"], config) for length in ("hop_multiple", "odd_length")
    }
    values["mel_silence"] = log_mel(torch.zeros(1, 20 * config.hop), config)
    base = 10.0 if config.log10 else math.e
    for name, value in values.items():
        yield f"{name} (magnitude)", error(base**value, base ** golden[name]), MEL


def check_mel_constants(path: Path, _seed: int) -> Iterator[Row]:
    """Mel filters and windows."""
    import torch

    from pavas_core.models.mel import MEL_VARIANTS, mel_filters

    golden = _load(path)
    for rate, config in MEL_VARIANTS.items():
        values = {f"mel_basis_{rate}": mel_filters(config), f"hann_{rate}": torch.hann_window(config.n_fft)}
        yield from _compare(golden, values, TABLE)


def check_vae(path: Path, seed: int) -> Iterator[Row]:
    """Latent to mel and back, an odd number of mel frames too."""
    from pavas_core.models.vae import VAE_VARIANTS, MelVae, fold_state_dict

    golden = _load(path)
    vae = MelVae(VAE_VARIANTS[path.stem.removeprefix("vae_")]).eval()
    fill(vae, seed=seed, keep=("data_mean", "data_std"))
    vae.load_state_dict(fold_state_dict(vae.state_dict()))
    decoder = vae.decoder
    taps = Taps(block1=decoder.mid.block_1, attn=decoder.mid.attn_1)
    normalised = decoder(golden["in.latent"])
    values = {
        "decode.mel_normalized": normalised,
        "mid.dec.mid_block1_out_first64ch": taps.values["block1"],
        "mid.dec.mid_attn_in_first64ch": taps.values["block1"],
        "mid.dec.mid_attn_out_first64ch": taps.values["attn"],
    }
    yield from _compare(golden, values, CODEC)
    # The statistics of every mel bin are part of a published file; here two frames of the golden pair tell them.
    first, second = (golden["decode.mel_normalized"][..., index : index + 1] for index in (0, 1))
    mel = golden["decode.mel"]
    vae.data_std.copy_((mel[..., :1] - mel[..., 1:2]) / (first - second))
    vae.data_mean.copy_(mel[..., :1] - first * vae.data_std)
    mean, log_variance = vae.encode(golden["in.mel"])
    values = {
        "decode.mel": vae.decode(golden["in.latent"]),
        "encode.mean": mean,
        "encode.logvar": log_variance,
        "encode.std": (0.5 * log_variance).exp(),
        "encode_odd.mean": vae.encode(golden["in.mel_odd"])[0],
    }
    yield from _compare(golden, values, CODEC)


def check_vocoder(path: Path, seed: int) -> Iterator[Row]:
    """Mel to waveform, and the anti-aliasing filter."""
    from pavas_core.models.vocoder import VOCODER_VARIANTS, BigVgan, antialias_filter

    golden, said = _load(path), metadata(path)
    vocoder = BigVgan(VOCODER_VARIANTS[path.stem.removeprefix("bigvgan_")]).eval()
    fill(vocoder, seed=seed, keep=("filter",))
    for name, value in vocoder.state_dict().items():
        if ".convs2." in name and name.endswith("weight"):
            value.mul_(float(said.get("convs2_gain", "0.25")))
        elif name == "conv_post.weight":
            value.mul_(float(said.get("conv_post_gain", "0.5")))
    first: Any = vocoder.resblocks[0]
    taps = Taps(conv_post=vocoder.conv_post, resblock0=first, act0=first.activations[0])
    taps_up = Taps(**{f"up{index}": up[0] for index, up in enumerate(vocoder.ups)})  # type: ignore[index]
    wave = vocoder(golden["in.mel"])
    yield from _compare(golden, {"const.antialias_filter": antialias_filter()}, TABLE)
    yield from _compare(golden, {"wave": wave, "mid.conv_post": taps.values["conv_post"]}, CODEC)
    shown = {f"mid.{name}.first8ch": value for name, value in taps_up.values.items()}
    shown["mid.resblock0.first8ch"] = taps.values["resblock0"]
    shown["mid.act0.out_first8ch"] = taps.values["act0"]
    for name, value in shown.items():
        yield name, error(value[:, :8, : golden[name].shape[-1]], golden[name]), CODEC


# Encoders


def check_synchformer(path: Path, seed: int) -> Iterator[Row]:
    """One window of pictures to its eight tokens."""
    from pavas_core.models.frames import normalised_sync
    from pavas_core.models.synchformer import PREFIX, SyncEncoder

    golden = _load(path)
    encoder = SyncEncoder().eval()
    fill(encoder, seed=seed, prefix=PREFIX)
    taps = Taps(
        patches=encoder.patch_embed_3d.proj, first=encoder.blocks[0], last=encoder.blocks[-1], norm=encoder.norm
    )
    features = encoder(normalised_sync(golden["in.frames_u8"][0]))
    values = {
        "features": features[None],
        "mid.patch_tokens_first16": taps.values["patches"].flatten(2).transpose(1, 2),
        "mid.block0.first32tokens": taps.values["first"][:, :32],
        "mid.block11.first32tokens": taps.values["last"][:, :32],
        "mid.norm_first16": taps.values["norm"],
    }
    yield from _compare(golden, values, ENCODER)


def check_pictures(path: Path, _seed: int) -> Iterator[Row]:
    """Pictures as the encoders see them; uint8 in grey levels, where another build of torch may differ by one."""
    from pavas_core.models import frames

    golden = _load(path)
    for shape in ("wide", "tall"):
        image = golden[f"in.image_{shape}"].numpy()
        shown = {f"clip.resized_u8_{shape}": frames.semantic_picture(image)}
        shown[f"sync.cropped_u8_{shape}"] = frames.sync_picture(image)
        for name, value in shown.items():
            same_shape = value.shape == golden[name][0].shape
            off = (value.int() - golden[name][0].int()).abs().max() if same_shape else float("inf")
            yield name, float(off), 1.0
    values = {
        "clip.normalized_wide_rows0_32": frames.normalised_semantic(golden["clip.resized_u8_wide"])[:, :, :32],
        "sync.normalized_wide_rows0_32": frames.normalised_sync(golden["sync.cropped_u8_wide"])[:, :, :32],
    }
    yield from _compare(golden, values, TABLE)


def check_clip(path: Path, seed: int) -> Iterator[Row]:
    """The whole CLIP on one picture, of the file of pictures beside it, and some prompts; 4 GB of memory."""
    from open_clip import get_model_config

    from pavas_core.errors import PavasError
    from pavas_core.models.clip_encoder import ClipEncoder
    from pavas_core.models.frames import normalised_semantic

    pictures = path.with_name("preprocess.safetensors")
    if not pictures.is_file():
        raise PavasError(f"{path.name} needs {pictures.name} beside it for its picture: copy both.")
    golden = _load(path)
    config = get_model_config("ViT-H-14-378-quickgelu")
    encoder = ClipEncoder({name: config[name] for name in ("embed_dim", "quick_gelu", "vision_cfg", "text_cfg")})
    fill(encoder.clip, seed=seed)
    visual: Any = encoder.eval().clip.visual
    blocks = visual.transformer.resblocks
    taps = Taps(raw=visual, after_ln_pre=visual.ln_pre, vis_block0=blocks[0], vis_block31=blocks[31])
    picture = normalised_semantic(_load(pictures)["clip.resized_u8_wide"])
    features, patches = encoder.encode_pictures(picture)
    yield from _compare(golden, {"image_features": features, "image_features_cropped378": features}, ENCODER)
    values = {"image_features_raw": taps.values.pop("raw")[0]}
    values |= {f"mid.{name}_first8": value for name, value in taps.values.items()}
    yield from _compare(golden, values, ENCODER)
    yield "mid.token_count", float(abs(1 + patches.shape[1] - int(golden["mid.token_count"]))), 0.0
    tokens = encoder.tokenize(json.loads(metadata(path)["prompts"]))
    yield "in.tokens", float((tokens != golden["in.tokens"]).sum()), 0.0
    yield from _compare(golden, {"text_features": encoder.encode_tokens(tokens)}, ENCODER)


# Tables


def check_frames(path: Path, _seed: int) -> Iterator[Row]:
    """Frames that the reference's own reader takes, from several rates and containers."""
    from pavas_core.models import frames

    for case in json.loads(path.read_text()):
        rate = Fraction(case["fps"])
        times = [float(index / rate) for index in range(case["num_frames"])]
        wanted = case["requested_duration"]
        semantic, sync = (frames.official_picks(times, hz, wanted) for hz in (8.0, 25.0))
        duration, count, sync_count = frames.official_durations(len(semantic), len(sync), wanted)
        ours = (len(semantic), len(sync), duration, semantic[:count], sync[:sync_count])
        theirs = tuple(case[name] for name in ("raw_clip", "raw_sync", "final_duration", "clip_idx", "sync_idx"))
        yield f"{case['fps']} fps, {case['container']}, {case['num_frames']} frames", _differences(ours, theirs), 0.0


def check_lengths(path: Path, _seed: int) -> Iterator[Row]:
    """Lengths of sequences and sounds by duration."""
    from pavas_core.sampling.generate import clip_tokens, sync_tokens
    from pavas_core.sampling.windows import latent_length

    for case in json.loads(path.read_text()):
        seconds = case["duration"]
        ours, names = [clip_tokens(seconds), sync_tokens(seconds)], ["clip", "sync"]
        for rate, hz, hop in (("16k", 16000, 256), ("44k", 44100, 512)):
            length = latent_length(seconds, hz / hop / 2)
            ours += [length, 2 * length * hop]
            names += [f"latent_{rate}", f"samples_{rate}"]
        yield f"{seconds} s", _differences(ours, [case[name] for name in names]), 0.0


def check_sync_rows(path: Path, _seed: int) -> Iterator[Row]:
    """The sync row of every latent token."""
    from pavas_core.models.network import nearest_exact_index

    for name, table in json.loads(path.read_text()).items():
        source, length = map(int, name.split("->"))
        yield name, _differences(nearest_exact_index(length, source).tolist(), table), 0.0


def _differences(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """How many entries differ; infinite for another number of them."""
    if len(ours) != len(theirs):
        return float("inf")
    return float(sum(one != other for one, other in zip(ours, theirs, strict=True)))


def check_manifest(path: Path, _seed: int) -> Iterator[Row]:
    """Names and shapes of every tensor of a published file."""
    import torch

    expected = json.loads(path.read_text())
    with torch.device("meta"):
        ours = _shapes(path.stem.removeprefix("manifest_"), expected)
    wrong = [name for name in expected.keys() | ours.keys() if expected.get(name) != ours.get(name)]
    yield f"{len(expected)} tensors", float(len(wrong)), 0.0


def _shapes(name: str, expected: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    import torch
    from open_clip import get_model_config

    from pavas_core.models import vocoder
    from pavas_core.models.clip_encoder import ClipEncoder
    from pavas_core.models.network import VARIANTS, FlowTransformer, config_from_shapes
    from pavas_core.models.synchformer import PREFIX, SyncEncoder
    from pavas_core.models.vae import VAE_VARIANTS, MelVae

    module: nn.Module
    prefix = ""
    if name in VARIANTS or name.startswith("tiny"):
        module = FlowTransformer(config_from_shapes(expected))
    elif name.startswith("vae_"):
        module = MelVae(VAE_VARIANTS[name.removeprefix("vae_")])
    elif name.startswith("bigvgan"):
        rate = "44k" if "44k" in name else "16k"
        module = vocoder.BigVgan(vocoder.VOCODER_VARIANTS[rate], device="meta")
        if name.endswith("weightnorm"):
            folded = {key: list(value.shape) for key, value in module.state_dict().items()}
            stored = vocoder.fold_state_dict({key: torch.ones(shape) for key, shape in expected.items()})
            same = folded == {key: list(value.shape) for key, value in stored.items()}
            return {key: list(shape) for key, shape in expected.items()} if same else folded
    elif name.startswith("synchformer"):
        module, prefix = SyncEncoder(), PREFIX
    else:
        config = get_model_config("ViT-H-14-378-quickgelu")
        parts = ("embed_dim", "quick_gelu", "vision_cfg", "text_cfg")
        module = ClipEncoder({part: config[part] for part in parts}, device="meta").clip
    return {prefix + key: list(value.shape) for key, value in module.state_dict().items()}


CASES = (
    Case("manifest_[!c]*.json", check_manifest),
    Case("frame_sampling.json", check_frames),
    Case("seq_lengths.json", check_lengths),
    Case("upsample_index.json", check_sync_rows),
    Case("mel_constants.safetensors", check_mel_constants),
    Case("mel_??k.safetensors", check_mel),
    Case("rope_and_timestep.safetensors", check_time),
    Case("tiny_v?.safetensors", check_tiny),
    Case("preprocess.safetensors", check_pictures, tensor="clip.resized_u8_wide"),
    Case("vae_??k.safetensors", check_vae),
    Case("bigvgan_??k.safetensors", check_vocoder),
    Case("synchformer.safetensors", check_synchformer),
    Case("full_small_*.safetensors", check_full),
    Case("full_medium_*.safetensors", check_full),
    Case("full_large_*.safetensors", check_full),
    Case("clip_dfn5b.safetensors", check_clip),
)
"""Which check for which file, small ones first."""
