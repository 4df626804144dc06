"""The training loop: transformer and adapter jointly from the first step, by flow matching and by ear.

Flow matching weighs all bands alike and teaches states between noise and truth; the sampler, from tempered noise in few
steps, passes through others, and what it makes is heard by its loud bands. So a share of every batch is taken to one of
the sampler's own steps, and what that step heads for is compared as it is heard.

Flow matching: Lipman et al., ICLR 2023; logit-normal times: Esser et al., ICML 2024. Every step draws from generators
seeded by its number alone, so a resumed job goes on as if it had never stopped.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, autocast, nn

from pavas_core.errors import WeightsError
from pavas_core.models.nano import STEPS, tempered
from pavas_core.models.nano_codec import NanoCodec
from pavas_core.models.nano_config import adapter_config, network_config
from pavas_core.models.network import Conditions, FlowTransformer
from pavas_core.models.phy_adapter import AdapterConfig, PhyAdapter, PhysicsInputs
from pavas_core.runtime import Runtime
from pavas_core.sampling.flow import seeded_noise
from pavas_core.training.batches import Batch, Examples, batch, draw, whole
from pavas_core.video.atomic import replacing

log = logging.getLogger("pavas")

FIRST_CHANNELS = (2.0, 1.4, 1.2)
"""Scale of the first latent channels where the others have 1: loudness must not be one fortieth of the loss."""
FIRST_WEIGHTS = (4.0, 2.0, 1.5)
"""Weight of the same channels in the loss: what they miss is heard as a wrong level."""
AWAY_WEIGHT = 0.35
"""Weight of tokens more than AFTER_TOKENS after the last impact, where the network knows the impacts: room tone is two
thirds of all tokens and has little to teach."""
AFTER_TOKENS = 28.0
BLOW_WEIGHT, BLOW_TOKENS = 2.5, 4.0
"""Weight of tokens from one before an impact that is told to so many after it: they decide how it is heard."""
BY_EAR = 0.7
"""Weight of the loss by ear where that of the flow weighs 1."""
BY_EAR_MEAN = 0.5
"""Within the loss by ear, weight of the squared error of the latent itself."""
TOKEN_DB, CLIP_DB, OCTAVES = 6.0, 4.0, 0.5
"""Errors of a token's and of a clip's level, and of the brightness of either, from which on the loss is linear."""
CHANGE_DB, CHANGE_OCTAVES = 2.0, 0.2
"""The same of what changes from one physics of a scene to another: most changes of brightness are small."""
AVERAGE_EVERY = 4


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    steps: int = 6000
    batch: int = 24
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    warm_up: int = 60
    ema: float = 0.998
    seed: int = 0
    judge_every: int = 140
    save_every: int = 70


class NanoNetwork(nn.Module):
    """Transformer and adapter, trained together."""

    def __init__(self, adapter: AdapterConfig | None = None) -> None:
        super().__init__()
        self.network = FlowTransformer(network_config())
        self.adapter = PhyAdapter(adapter or adapter_config())
        start(self.network)


def start(network: FlowTransformer) -> None:
    """Begin with every residual branch closed (Peebles & Xie, ICCV 2023), so that depth costs no stability."""
    for name, parameter in network.named_parameters():
        if "adaLN_modulation" in name:
            nn.init.zeros_(parameter)
    nn.init.zeros_(network.final_layer.conv.weight)
    nn.init.zeros_(network.final_layer.conv.bias)
    nn.init.normal_(network.sync_pos_emb, std=0.02)
    nn.init.normal_(network.empty_clip_feat, std=0.02)
    nn.init.normal_(network.empty_sync_feat, std=0.02)


def set_latent_scale(network: FlowTransformer, latents: Tensor) -> None:
    """Mean and scale of the latent channels, from latents (..., C)."""
    flat = latents.float().flatten(0, -2)
    scale = torch.ones(flat.shape[1])
    scale[: len(FIRST_CHANNELS)] = torch.tensor(FIRST_CHANNELS)
    with torch.no_grad():
        network.latent_mean.copy_(flat.mean(dim=0))
        network.latent_std.copy_(flat.std(dim=0) / scale)


def conditions_of(network: FlowTransformer, given: Batch) -> Conditions:
    """Projected conditions, null tokens where something is withheld."""
    sync = torch.where(given.no_sync[:, None, None], network.empty_sync_feat, given.sync)
    clip = torch.where(given.no_clip[:, None, None], network.empty_clip_feat, given.clip)
    return network.prepare(clip, sync, given.text, given.latent.shape[1])


def batch_loss(
    model: NanoNetwork, codec: NanoCodec, given: Batch, t: Tensor, noise: Tensor, by_ear: Tensor, stage: int
) -> Tensor:
    """Mean over items: of the flow's squared error at times ``t`` (B,), or, where ``by_ear`` (bool (B,)), of
    :func:`heard_loss` at the sampler's step ``stage``."""
    network = model.network
    clean = network.normalize(given.latent)
    state = torch.lerp(noise, clean, t[:, None, None])
    with autocast(state.device.type, torch.bfloat16):
        if by_ear.any():
            theirs = _mapped(given, lambda value: value[by_ear])
            with torch.no_grad():
                state[by_ear] = _sampled(model, theirs, tempered(noise[by_ear], codec), stage)
            t = torch.where(by_ear, stage / STEPS, t)
        physics = model.adapter.encode(given.physics, clean.shape[1])
        velocity = network(state, t, conditions_of(network, given), model.adapter.residuals(physics)).float()
    tokens = token_weights(given.physics, clean.shape[1])
    weight = channel_weights(network) * tokens[..., None]
    flow = ((velocity - (clean - noise)).square() * weight).mean(dim=(1, 2))
    made = state + (1 - t[:, None, None]) * velocity
    mean = ((made - clean).square() * weight).mean(dim=(1, 2))
    # what nobody tells the network it cannot be wrong about
    known = given.physics.impacts_known
    scene = torch.where(known & by_ear, given.scene, -1)
    heard = heard_loss(codec, network.unnormalize(made), given.latent, tokens, scene) * known + BY_EAR_MEAN * mean
    return torch.where(by_ear, BY_EAR * heard, flow).mean()


def heard_loss(codec: NanoCodec, made: Tensor, true: Tensor, tokens: Tensor, scene: Tensor) -> Tensor:
    """Errors (B,) of latents (B, L, C) in level and brightness, of every token by its weight ``tokens`` (B, L) and of
    the clip, and in how a clip changes from the item before it where that is of the same ``scene`` (B,; none where
    negative); squares that go on linearly (Huber, 1964)."""
    token_db, token_octaves, clip_db, clip_octaves = (
        one - other for one, other in zip(_heard(codec, made), _heard(codec, true), strict=True)
    )
    return (
        (_huber(token_db / TOKEN_DB) * tokens).mean(dim=1)
        + (_huber(token_octaves / OCTAVES) * tokens).mean(dim=1)
        + _huber(clip_db / CLIP_DB)
        + _huber(clip_octaves / OCTAVES)
        + _huber(_change(clip_db, scene) / CHANGE_DB)
        + _huber(_change(clip_octaves, scene) / CHANGE_OCTAVES)
    )


def _huber(errors: Tensor) -> Tensor:
    return nn.functional.huber_loss(errors, torch.zeros_like(errors), reduction="none")


def _change(figures: Tensor, scene: Tensor) -> Tensor:
    """Every one of ``figures`` (B,) less the one before it, 0 where that is of another scene."""
    same = (scene[1:] == scene[:-1]) & (scene[1:] >= 0)
    return nn.functional.pad(torch.where(same, figures[1:] - figures[:-1], 0.0), (1, 0))


def _heard(codec: NanoCodec, latent: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Level in dB and brightness in octaves of every token (B, L), and of the clip (B,)."""
    bands = _bands(codec, latent.float())
    whole = bands.mean(dim=1)
    return _level_db(bands), _octaves(codec, bands), _level_db(whole), _octaves(codec, whole)


def channel_weights(network: FlowTransformer) -> Tensor:
    """(C,), mean 1: those that carry loudness weigh most, the later ones less, as they vary less."""
    first = len(FIRST_WEIGHTS)
    spread = network.latent_std.detach().flatten()
    weight = (spread / spread[first]).clamp(max=1.0).sqrt()
    weight[:first] = torch.tensor(FIRST_WEIGHTS, device=weight.device)
    return weight / weight.mean()


def token_weights(physics: PhysicsInputs, length: int) -> Tensor:
    """(B, L), mean 1: tokens in which an impact sounds weigh more, most where it begins.

    Only by the impacts that the network is told: weights by what it cannot know would teach it wrong odds.
    """
    since = torch.arange(length, device=physics.impact_token.device) + 0.5 - physics.impact_token[..., None]
    told = ~physics.impulse_ns.isnan() & physics.impacts_known[:, None]
    since = since.masked_fill(~told[..., None], torch.inf)
    blow, sounding = (((since > -1.0) & (since < end)).any(dim=1) for end in (BLOW_TOKENS, AFTER_TOKENS))
    weight = torch.where(sounding | ~physics.impacts_known[:, None], 1.0, AWAY_WEIGHT)
    weight = torch.where(blow, BLOW_WEIGHT, weight)
    return weight / weight.mean()


def rate_at(step: int, recipe: Recipe) -> float:
    """Learning rate: linear warm-up, cosine to a hundredth."""
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    done = min(1.0, (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up))
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


@contextmanager
def _errors_only() -> Iterator[None]:
    """Values beyond the adapter's range are part of the training: no warning of each."""
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


@_errors_only()
def train(
    data: Examples,
    held_out: Examples,
    codec: NanoCodec,
    folder: Path,
    recipe: Recipe,
    *,
    adapter: AdapterConfig | None = None,
    base: Path | None = None,
    start_from: Path | None = None,
    device: str = "cpu",
    runtime: Runtime,
) -> None:
    """Train, or go on training, in ``folder``; with ``base``, only an adapter on that run's transformer.

    ``start_from`` is the ``best.pt`` of an earlier run to begin with; what it lacks begins as untrained.
    ``state.pt`` is what a killed job resumes from, ``best.pt`` the averaged weights of the best judgement and
    ``metrics.jsonl`` the course.
    """
    torch.manual_seed(recipe.seed)
    model = NanoNetwork(adapter).to(device)
    set_latent_scale(model.network, data.latent)
    if base is not None:
        _freeze(model.network, base)
    if start_from is not None:
        _begin_with(model, start_from, device)
    average = copy.deepcopy(model).requires_grad_(False)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    step, best = 0, -math.inf
    state_path = folder / "state.pt"
    if state_path.exists():
        state = torch.load(state_path, weights_only=True, map_location=device)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, best = state["step"], state["best"]
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    began, losses = time.perf_counter(), []
    while step < recipe.steps:
        runtime.step("training", step, recipe.steps)
        rng = np.random.default_rng([recipe.seed, 21, step])
        noise_rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        given = batch(data, *draw(data, recipe.batch, rng), rng)
        t = torch.randn(recipe.batch, generator=noise_rng).sigmoid()
        noise = torch.randn(given.latent.shape, generator=noise_rng)
        by_ear, stage = torch.arange(recipe.batch) % 4 < 2, int(rng.integers(STEPS))
        # every process draws the whole batch and takes its share, so that their number changes nothing
        given, t, noise, by_ear = (
            _on(_share(given, rank, processes), device),
            *(_share_of(x, rank, processes).to(device) for x in (t, noise, by_ear)),
        )
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, recipe)
        loss = batch_loss(model, codec, given, t, noise, by_ear, stage)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if processes > 1:
            _average_gradients(trained, processes)
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        step += 1
        losses.append(loss.item())
        if step % AVERAGE_EVERY == 0:
            keep = min(recipe.ema, (1 + step) / (10 + step)) ** AVERAGE_EVERY
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)
        if rank == 0 and (step % recipe.judge_every == 0 or step == recipe.steps):
            figures = judge(average, held_out, codec, device)
            if figures["score"] >= best:
                best = figures["score"]
                _save(average.state_dict(), folder / "best.pt")
            _note(folder, step=step, loss=float(np.mean(losses)), seconds=time.perf_counter() - began, **figures)
            losses = []
        if rank == 0 and (step % recipe.save_every == 0 or step == recipe.steps):
            state = {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "best": best,
                "recipe": asdict(recipe),
            }
            _save(state, state_path)
    runtime.step("training", recipe.steps, recipe.steps)


def _begin_with(model: NanoNetwork, path: Path, device: str) -> None:
    """Give ``model`` what ``path`` has of it. Raises WeightsError where that is of another network."""
    try:
        unknown = model.load_state_dict(torch.load(path, weights_only=True, map_location=device), strict=False)[1]
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"{path} is of another network, or damaged: {reason}") from error
    if unknown:
        raise WeightsError(f"{path} is of another network: it has {unknown[0]}.")


def _freeze(network: FlowTransformer, path: Path) -> None:
    """Give ``network`` the transformer of another run's ``best.pt``, not to be trained."""
    whole_model = torch.load(path, weights_only=True, map_location="cpu")
    own = {name.removeprefix("network."): one for name, one in whole_model.items() if name.startswith("network.")}
    network.load_state_dict(own)
    network.requires_grad_(False)


@torch.no_grad()
def judge(model: NanoNetwork, data: Examples, codec: NanoCodec, device: str) -> dict[str, float]:
    """How levels follow the truth on held-out scenes, all told: correlation and bias over clips, and within a scene
    the slope and correlation over its variants, of level and of brightness. The score prefers right slopes over low
    loss."""
    count, variants = len(data), data.latent.shape[1]
    scene = np.repeat(np.arange(count), variants)
    variant = np.tile(np.arange(variants), count)
    made, true, bright, truly_bright = [], [], [], []
    for start_at in range(0, len(scene), 48):
        part = slice(start_at, start_at + 48)
        given = _on(whole(data, scene[part], variant[part]), device)
        noise = tempered(seeded_noise(start_at, given.latent.shape).to(given.latent), codec)
        latent = sample(model, given, noise)
        made.append(clip_levels_db(codec, latent))
        true.append(clip_levels_db(codec, given.latent))
        bright.append(clip_octaves(codec, latent))
        truly_bright.append(clip_octaves(codec, given.latent))
    levels, truth = torch.cat(made).cpu().numpy(), torch.cat(true).cpu().numpy()
    own, wanted = (_within(x, variants) for x in (levels, truth))
    hue, wanted_hue = (_within(torch.cat(x).cpu().numpy(), variants) for x in (bright, truly_bright))
    slope = float((own * wanted).sum() / max(1e-9, (wanted * wanted).sum()))
    correlation = float(np.corrcoef(levels, truth)[0, 1])
    within = float(np.corrcoef(own.ravel(), wanted.ravel())[0, 1])
    brightness = float(np.corrcoef(hue.ravel(), wanted_hue.ravel())[0, 1])
    error = float(np.abs(levels - truth).mean())
    return {
        "level_correlation": correlation,
        "level_bias_db": float((levels - truth).mean()),
        "level_error_db": error,
        "slope": slope,
        "within": within,
        "brightness": brightness,
        "score": correlation + within + brightness - abs(1 - slope) - error / 20,
    }


def sample(model: NanoNetwork, given: Batch, noise: Tensor, steps: int = STEPS) -> Tensor:
    """Latents of a batch from ``noise`` (B, L, C), as the sampler makes them without guidance."""
    return model.network.unnormalize(_sampled(model, given, noise.to(given.latent), steps, steps))


def _sampled(model: NanoNetwork, given: Batch, state: Tensor, until: int, steps: int = STEPS) -> Tensor:
    """The normalised state (B, L, C) after ``until`` of the sampler's Euler ``steps``."""
    if until == 0:
        return state
    physics = model.adapter.encode(given.physics, state.shape[1])
    conditions, residuals = conditions_of(model.network, given), model.adapter.residuals(physics)
    for step in range(until):
        t = torch.full((len(state),), step / steps, device=state.device)
        state = state + model.network(state, t, conditions, residuals).to(state) / steps
    return state


def _within(figures: np.ndarray, variants: int) -> np.ndarray:
    """Figures (scenes * variants) less the mean of their scene, [scenes, variants]."""
    by_scene = figures.reshape(-1, variants)
    return by_scene - by_scene.mean(axis=1, keepdims=True)


def clip_levels_db(codec: NanoCodec, latent: Tensor) -> Tensor:
    """Level (B,) of the spectra that latents stand for, in decibels of no fixed reference."""
    return _level_db(_bands(codec, latent).mean(dim=1))


def clip_octaves(codec: NanoCodec, latent: Tensor) -> Tensor:
    """Brightness (B,): energy-weighted mean of log2 frequency."""
    return _octaves(codec, _bands(codec, latent).mean(dim=1))


def _bands(codec: NanoCodec, latent: Tensor) -> Tensor:
    """Power (B, L, bands) in the mel bands of every token."""
    power = (latent @ codec.basis.to(latent) + codec.mean.to(latent)).exp().square()
    return power.unflatten(2, (codec.config.frames_per_token, -1)).sum(dim=2)


def _level_db(bands: Tensor) -> Tensor:
    """Level (...) of powers (..., bands)."""
    return 10 * bands.sum(dim=-1).clamp(min=1e-14).log10()


def _octaves(codec: NanoCodec, bands: Tensor) -> Tensor:
    """Energy-weighted mean of log2 frequency (...) of powers (..., bands)."""
    return (bands * codec.band_octaves().to(bands)).sum(dim=-1) / bands.sum(dim=-1).clamp(min=1e-14)


def _mapped(given: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """``given`` with every tensor changed."""
    physics = type(given.physics)(**{name: change(value) for name, value in vars(given.physics).items()})
    fields = {name: change(value) for name, value in vars(given).items() if name != "physics"}
    return Batch(physics=physics, **fields)


def _on(given: Batch, device: str) -> Batch:
    return given if device == "cpu" else _mapped(given, lambda value: value.to(device))


def _share_of(value: Tensor, rank: int, processes: int) -> Tensor:
    return value.tensor_split(processes)[rank]


def _share(given: Batch, rank: int, processes: int) -> Batch:
    """The items of one process."""
    return given if processes == 1 else _mapped(given, lambda value: _share_of(value, rank, processes))


def _average_gradients(parameters: Sequence[nn.Parameter], processes: int) -> None:
    """The mean over all processes, in one message."""
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for one, part in zip(parameters, flat.div_(processes).split([one.numel() for one in parameters]), strict=True):
        one.grad = part.view_as(one)


def _save(value: Any, path: Path) -> None:
    with replacing(path) as temporary:
        torch.save(value, temporary)


def _note(folder: Path, **figures: float) -> None:
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({name: round(value, 5) for name, value in figures.items()}) + "\n")


def parameter_count(modules: Sequence[nn.Module]) -> int:
    """Parameters of all modules."""
    return sum(one.numel() for module in modules for one in module.parameters())
