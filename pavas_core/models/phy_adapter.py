"""The Phy-Adapter: per-object mass and speed, as residuals of the transformer's adaLN (paper section 3.4).

Beyond the paper, an optional third condition carries the impacts themselves (log impulse at sub-frame time), because
moving an impact must move its sound, and a fourth what still sounds of them: what met, and how long ago. A
configuration without them is the paper's. Notation: B clips, N objects (padded), T visual frames, L latent tokens,
Dh the adapter's width, D the backbone's.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from pavas_core.models.network import Residuals, nearest_exact_index

log = logging.getLogger("pavas")

Z_LIMIT = 4.0
LAST_IMPACTS, BEFORE_TOKENS, REACH_TOKENS = 6, 2.0, 64.0
"""A latent token hears so many of the impacts nearest before it, from so many tokens ahead of them to so many after."""
HEADS = 4
_FADES = (1.0, 4.0, 16.0, 64.0)
"""Tokens in which an echo fades to 1/e."""


@dataclass(frozen=True)
class AdapterConfig:
    """Shape and switches of one adapter; table 3's rows of the paper are switches here."""

    width: int
    """D of the backbone."""
    depth: int
    """Joint plus fused blocks of the backbone."""
    feature_dim: int = 1280
    hidden_dim: int = 512
    bottleneck: int = 48
    bands: int = 8
    """K of eqs 5-6."""
    use_mass: bool = True
    use_velocity: bool = True
    use_impacts: bool = False
    impact_facts: int = 0
    """Columns that say what met in every impact, as the network that owns the adapter writes them; 0 = none."""
    injection: Literal["delta", "sum"] = "delta"
    gate_context: Literal["separate", "joint"] = "separate"
    """Whether a gate of eq. 9 sees its own feature (paper) or both, so that heavy-slow with light-fast is not
    light-slow with heavy-fast."""
    modulate_gates: bool = False
    """Add residuals to adaLN's gates too, not only to scale and shift."""
    mass_unit_kg: float = 1.0
    mass_mean: float = 1.0
    mass_std: float = 1.0
    """Of log(1 + mass / mass_unit_kg)."""
    speed_mean: float = 1.0
    speed_std: float = 1.0
    """Of metres per second."""
    impulse_mean: float = 0.0
    impulse_std: float = 1.0
    """Of log(newton seconds)."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions in use, in mixing order."""
        used = {"mass": self.use_mass, "velocity": self.use_velocity, "impact": self.use_impacts}
        used["ringing"] = self.impact_facts > 0
        return tuple(name for name, use in used.items() if use)


@dataclass(frozen=True)
class PhysicsInputs:
    """Physics of B clips. Unknown values are NaN; nothing is guessed for them."""

    features: Tensor
    """(B, N, T, feature_dim) mask-weighted sums of patch tokens (eq. 4)."""
    present: Tensor
    """bool (B, N, T): the object's mask is not empty in this frame; all False for padding."""
    mass_kg: Tensor
    """(B, N)."""
    speed_mps: Tensor
    """(B, N, T)."""
    impact_token: Tensor
    """(B, K) where on the latent axis each impact falls, in tokens from the first one's start (a real number)."""
    impulse_ns: Tensor
    """(B, K); NaN for padding."""
    impacts_known: Tensor
    """bool (B,): the list of impacts is meant (an empty one says there is none)."""
    impact_facts: Tensor | None = None
    """(B, K, impact_facts) what met in each impact, for adapters that are told it."""


@dataclass(frozen=True)
class PhysicsCondition:
    """Pooled physics, one vector per latent token; each (B, L, Dh) or None when not in use."""

    mass: Tensor | None
    velocity: Tensor | None
    impact: Tensor | None
    ringing: Tensor | None = None


def no_physics(batch: int, frames: int, config: AdapterConfig, like: Tensor) -> PhysicsInputs:
    """Inputs that say nothing: no object, impacts unknown. What the unconditional branch of guidance gets."""
    nothing = like.new_zeros(batch, 0)
    return PhysicsInputs(
        features=like.new_zeros(batch, 0, frames, config.feature_dim),
        present=torch.zeros(batch, 0, frames, dtype=torch.bool, device=like.device),
        mass_kg=nothing,
        speed_mps=like.new_zeros(batch, 0, frames),
        impact_token=nothing,
        impulse_ns=nothing,
        impacts_known=torch.zeros(batch, dtype=torch.bool, device=like.device),
        impact_facts=like.new_zeros(batch, 0, config.impact_facts) if config.impact_facts else None,
    )


class FourierEmbedding(nn.Module):
    """Scalar z -> sines and cosines of K frequencies -> MLP -> (..., Dh) (eqs 5-6).

    The frequencies run from 1/32 to 1 cycle per standard deviation; higher ones would wrap within the range of z.
    They are stored with the weights.
    """

    omega: Tensor

    def __init__(self, bands: int, dim: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.register_buffer("omega", torch.logspace(-5, 0, bands, base=2.0, **factory))
        self.mlp = nn.Sequential(
            operations.Linear(2 * bands, dim, **factory), nn.SiLU(), operations.Linear(dim, dim, **factory)
        )

    def forward(self, z: Tensor) -> Tensor:
        phase = 2 * torch.pi * z.float()[..., None] * self.omega.to(z.device, torch.float32)
        return self.mlp(torch.cat([phase.sin(), phase.cos()], dim=-1).to(z.dtype))


class Film(nn.Module):
    """Bounded feature-wise modulation (eqs 7-8): (1 + tanh(gamma) / 2) h + tanh(beta) / 2."""

    def __init__(self, dim: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.linear = operations.Linear(dim, 2 * dim, **factory)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        gamma, beta = self.linear(embedding).chunk(2, dim=-1)
        return (1 + 0.5 * gamma.tanh()) * h + 0.5 * beta.tanh()


class Mixer(nn.Module):
    """alpha * bottleneck MLP of a condition, zero at first (eq. 10): (B, L, Dh) -> (B, L, out).

    Only the last layer starts at zero; with alpha at zero as well nothing would ever learn.
    """

    def __init__(self, dim: int, bottleneck: int, dim_out: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.down = operations.Linear(dim, bottleneck, **factory)
        self.up = operations.Linear(bottleneck, dim_out, **factory)
        self.alpha = nn.Parameter(torch.ones((), **factory))
        for value in (self.up.weight, self.up.bias):
            if value is not None:  # layers of a host that streams weights have none before they are read
                nn.init.zeros_(value)

    def forward(self, condition: Tensor) -> Tensor:
        return self.alpha.to(condition) * self.up(nn.functional.silu(self.down(condition)))


class Ringing(nn.Module):
    """What still sounds at every latent token, (B, L, Dh): what met in the last impacts, how hard and how long ago.

    An impact's echo at a token is a product of both, so that a decay can be learned as one; heads choose the impacts
    that are heard.
    """

    def __init__(self, columns: int, dim: int, operations: Any, factory: dict[str, Any]) -> None:
        super().__init__()
        self.met = nn.Sequential(
            operations.Linear(columns + 1, dim, **factory), nn.SiLU(), operations.Linear(dim, 2 * dim, **factory)
        )
        self.since = operations.Linear(len(_FADES) + 3, dim, **factory)
        self.heed = operations.Linear(dim, HEADS, **factory)
        self.out = operations.Linear(dim, dim, **factory)
        self.silence = nn.Parameter(0.02 * torch.randn(dim, **factory))

    def forward(self, facts: Tensor, z: Tensor, since: Tensor, which: Tensor) -> Tensor:
        """``facts`` (B, K, columns), ``z`` (B, K) of the impulse, and the :func:`last_impacts` of every token."""
        heard = since < REACH_TOKENS
        met = self.met(torch.cat([facts, z[..., None]], dim=-1))
        rows = torch.arange(len(facts), device=facts.device)[:, None, None]
        own, share = met[rows, which].chunk(2, dim=-1)
        passed = since.clamp(min=0)
        times = [since / 16, passed.log1p(), (since < 0).to(since), *((-passed / fade).exp() for fade in _FADES)]
        echo = nn.functional.silu(own + (1 + share) * self.since(torch.stack(times, dim=-1).to(facts.dtype)))
        score = self.heed(echo).float().masked_fill(~heard[..., None], -torch.inf)
        none = score.new_zeros(len(score), 1, *score.shape[2:])
        weight = torch.cat([score, none], dim=1).softmax(dim=1).to(echo.dtype)[..., None]
        silence = self.silence.to(echo).expand(len(echo), 1, echo.shape[2], -1)
        heads = torch.cat([echo, silence], dim=1).unflatten(-1, (HEADS, -1))
        return self.out((weight * heads).sum(dim=1).flatten(2))


def last_impacts(since: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Of every token the last impacts and those about to come: (B, M, L) tokens since each, REACH_TOKENS where there is
    none, and which it is. ``since`` is (B, K, L) for all, ``known`` (B, K)."""
    heard = known[:, :, None] & (since > -BEFORE_TOKENS) & (since < REACH_TOKENS)
    return since.masked_fill(~heard, REACH_TOKENS).topk(min(LAST_IMPACTS, since.shape[1]), dim=1, largest=False)


def _gate(dim_in: int, dim: int, operations: Any, factory: dict[str, Any]) -> nn.Sequential:
    """Weight of an object in the pool (eq. 9), one number in 0..1."""
    return nn.Sequential(
        operations.Linear(dim_in, dim // 4, **factory),
        nn.SiLU(),
        operations.Linear(dim // 4, 1, **factory),
        nn.Sigmoid(),
    )


class PhyAdapter(nn.Module):
    """Physics of a clip -> residuals of the backbone.

    The residuals depend on neither the latent nor the flow time: :meth:`encode` and :meth:`residuals` run once per
    edit and serve every step, seed and take.
    """

    def __init__(self, config: AdapterConfig, *, operations: Any = nn, dtype: Any = None, device: Any = None) -> None:
        super().__init__()
        factory = {"dtype": dtype, "device": device}
        dim = config.hidden_dim
        self.config = config

        def token() -> nn.Parameter:
            return nn.Parameter(0.02 * torch.randn(dim, **factory))

        self.object_proj = operations.Linear(config.feature_dim, dim, **factory)
        self.object_norm = operations.LayerNorm(dim, **factory)
        self.object_occluded = token()
        gate_dim = 2 * dim if config.gate_context == "joint" else dim
        self.embeds, self.films, self.gates = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for name, use in (("mass", config.use_mass), ("velocity", config.use_velocity)):
            if use or config.gate_context == "joint":
                self.embeds[name] = FourierEmbedding(config.bands, dim, operations, factory)
                self.films[name] = Film(dim, operations, factory)
                self.register_parameter(f"{name}_unknown", token())
            if use:
                self.gates[name] = _gate(gate_dim, dim, operations, factory)
                self.register_parameter(f"{name}_empty", token())
        if config.use_velocity or config.gate_context == "joint":
            self.velocity_occluded = token()
        if config.use_impacts:
            self.impact_embed = FourierEmbedding(config.bands, dim, operations, factory)
            self.impact_offset = operations.Linear(1, dim, **factory)
            self.impact_none = token()
            self.impact_unknown = token()
        if config.impact_facts:
            self.ringing = Ringing(config.impact_facts, dim, operations, factory)
            self.ringing_unknown = token()
        if config.injection == "sum":
            self.sum_mixer = Mixer(dim, config.bottleneck, config.width, operations, factory)
        else:
            parts = 6 if config.modulate_gates else 4
            build = (dim, config.bottleneck, parts * config.width, operations, factory)
            self.mixers = nn.ModuleList(
                nn.ModuleDict({name: Mixer(*build) for name in config.conditions}) for _ in range(config.depth)
            )

    def _token(self, name: str, like: Tensor) -> Tensor:
        return getattr(self, name).to(like)

    def _normalised(self, value: Tensor, mean: float, std: float, name: str) -> tuple[Tensor, Tensor]:
        """(z clamped to +-4 with 0 for unknown, known)."""
        known = ~value.isnan()
        z = torch.where(known, (value - mean) / std, 0.0)
        if bool((z.abs() > Z_LIMIT).any()):
            log.warning("Some %s is beyond what the adapter was trained on, and taken as the nearest it knows.", name)
        return z.clamp(-Z_LIMIT, Z_LIMIT), known

    def _embedded(self, name: str, like: Tensor, value: Tensor, mean: float, std: float) -> Tensor:
        """Embedding (..., Dh) of one physical value, the learned token where it is unknown."""
        z, known = self._normalised(value, mean, std, name)
        embedding = self.embeds[name](z.to(like.dtype))
        return torch.where(known[..., None], embedding, self._token(f"{name}_unknown", like))

    def encode(self, inputs: PhysicsInputs, latent_length: int) -> PhysicsCondition:
        """Pool all objects into one vector per latent token and condition."""
        config = self.config
        features, present = inputs.features, inputs.present
        h = self.object_norm(self.object_proj(features))
        h = torch.where(present[..., None], h, self._token("object_occluded", h))
        exists = present.any(dim=-1)[:, :, None, None]
        frames = h.shape[2]
        index = nearest_exact_index(latent_length, frames, h.device)

        modulated: dict[str, Tensor] = {}
        if "mass" in self.films:
            scaled = (inputs.mass_kg / config.mass_unit_kg).log1p()
            embedding = self._embedded("mass", h, scaled, config.mass_mean, config.mass_std)
            modulated["mass"] = self.films["mass"](h, embedding[:, :, None].expand_as(h))
        if "velocity" in self.films:
            embedding = self._embedded("velocity", h, inputs.speed_mps, config.speed_mean, config.speed_std)
            embedding = torch.where(present[..., None], embedding, self._token("velocity_occluded", h))
            modulated["velocity"] = self.films["velocity"](h, embedding)

        pooled: dict[str, Tensor | None] = {"mass": None, "velocity": None}
        for name in ("mass", "velocity"):
            if name not in config.conditions:
                continue
            joint = config.gate_context == "joint"
            context = torch.cat([modulated["mass"], modulated["velocity"]], dim=-1) if joint else modulated[name]
            weight = self.gates[name](context) * exists
            total = weight.sum(dim=1)
            mean = (weight * modulated[name]).sum(dim=1) / total.clamp(min=1e-6)
            empty = ~exists.any(dim=1)
            pooled[name] = torch.where(empty, self._token(f"{name}_empty", h), mean)[:, index]
        impact = self._impacts(inputs, latent_length, h) if config.use_impacts else None
        ringing = self._ringing(inputs, latent_length, h) if config.impact_facts else None
        return PhysicsCondition(pooled["mass"], pooled["velocity"], impact, ringing)

    def _impacts(self, inputs: PhysicsInputs, latent_length: int, like: Tensor) -> Tensor:
        """(B, L, Dh): every impact shared between the two tokens around it, by distance."""
        config = self.config
        z, known = self._normalised(inputs.impulse_ns.log(), config.impulse_mean, config.impulse_std, "impulse")
        centres = torch.arange(latent_length, device=like.device, dtype=torch.float32) + 0.5
        offset = inputs.impact_token.float()[:, :, None] - centres  # (B, K, L), tokens
        weight = (1 - offset.abs()).clamp(min=0) * known[:, :, None]
        # summed before they are projected: the offset's projection is linear, and (B, K, L, Dh) is large
        total, moved = weight.sum(dim=1)[..., None], (weight * offset).sum(dim=1)[..., None]
        unmoved = self.impact_offset(torch.zeros_like(moved[:1, :1], dtype=like.dtype))
        spread = weight.transpose(1, 2).to(like.dtype) @ self.impact_embed(z.to(like.dtype))
        spread = spread + self.impact_offset(moved.to(like.dtype)) - (1 - total).to(like.dtype) * unmoved
        rest = (1 - total).clamp(min=0).to(like.dtype) * self._token("impact_none", like)
        return torch.where(inputs.impacts_known[:, None, None], spread + rest, self._token("impact_unknown", like))

    def _ringing(self, inputs: PhysicsInputs, latent_length: int, like: Tensor) -> Tensor:
        """(B, L, Dh): what still sounds of the impacts at every token."""
        config, facts = self.config, inputs.impact_facts
        if facts is None:
            raise ValueError(f"This adapter is told {config.impact_facts} facts of every impact, but there are none.")
        z, known = self._normalised(inputs.impulse_ns.log(), config.impulse_mean, config.impulse_std, "impulse")
        centres = torch.arange(latent_length, device=like.device, dtype=torch.float32) + 0.5
        since = centres - inputs.impact_token.float()[:, :, None]
        sounding = self.ringing(facts.to(like.dtype), z.to(like.dtype), *last_impacts(since, known))
        return torch.where(inputs.impacts_known[:, None, None], sounding, self._token("ringing_unknown", like))

    def residuals(self, condition: PhysicsCondition) -> Residuals:
        """What to add to the backbone for one condition (eq. 10, or direct summation)."""
        given = {name: value for name in self.config.conditions if (value := getattr(condition, name)) is not None}
        if not given:
            return Residuals()
        if self.config.injection == "sum":
            return Residuals(condition=self.sum_mixer(torch.stack(list(given.values())).sum(dim=0)))
        blocks = []
        for mixers in cast("list[nn.ModuleDict]", list(self.mixers)):
            total = functools.reduce(torch.add, (mixers[name](value) for name, value in given.items()))
            if not self.config.modulate_gates:
                shift, scale, mlp_shift, mlp_scale = total.chunk(4, dim=-1)
                closed = torch.zeros_like(shift)
                total = torch.cat([shift, scale, closed, mlp_shift, mlp_scale, closed], dim=-1)
            blocks.append(total)
        return Residuals(blocks=tuple(blocks))


def scaled_residuals(given: Residuals, null: Residuals, physics_strength: float) -> Residuals:
    """null + physics_strength * (given - null): 1 is what was learned, 0 is no physics, above 1 exaggerates."""

    def mix(a: Tensor, b: Tensor) -> Tensor:
        return b + physics_strength * (a - b)

    blocks = tuple(mix(a, b) for a, b in zip(given.blocks, null.blocks, strict=True))
    if given.condition is None or null.condition is None:
        return Residuals(blocks)
    return Residuals(blocks, mix(given.condition, null.condition))
