"""pavas-nano-1's shape, and the parts built from it."""

from __future__ import annotations

from typing import Any

from pavas_core.models.nano_codec import CodecConfig
from pavas_core.models.nano_facts import facts_dim
from pavas_core.models.nano_text import TEXT_ROWS, text_dim
from pavas_core.models.nano_visual import CLIP_DIM, OBJECT_DIM, SYNC_DIM
from pavas_core.models.network import NetworkConfig
from pavas_core.models.phy_adapter import AdapterConfig

NAME = "pavas-nano-1"
WINDOW_S = 4.096
"""128 latent tokens, 128 sync steps, 64 frames."""
WIDTH, DEPTH, FUSED = 128, 6, 5


def network_config() -> NetworkConfig:
    """The transformer's."""
    return NetworkConfig(
        latent_dim=CodecConfig().channels,
        hidden_dim=WIDTH,
        depth=DEPTH,
        fused_depth=FUSED,
        clip_dim=CLIP_DIM,
        sync_dim=SYNC_DIM,
        text_dim=text_dim(),
        text_length=TEXT_ROWS,
        mlp_width=192,
    )


def adapter_config(**changes: Any) -> AdapterConfig:
    """The adapter's. Masses are in grams, or sticks, balls and cups would collapse into one value."""
    settings: dict[str, Any] = {
        "width": WIDTH,
        "depth": DEPTH,
        "feature_dim": OBJECT_DIM,
        "hidden_dim": 128,
        "bottleneck": 32,
        "use_impacts": True,
        "impact_facts": facts_dim(),
        "gate_context": "joint",
        "mass_unit_kg": 0.001,
        "mass_mean": 6.5,
        "mass_std": 2.0,
        "speed_mean": 2.0,
        "speed_std": 3.0,
        "impulse_mean": 0.0,
        "impulse_std": 2.5,
    }
    return AdapterConfig(**{**settings, **changes})


ABLATIONS: dict[str, dict[str, Any]] = {
    "none": {"use_mass": False, "use_velocity": False, "gate_context": "separate"},
    "mass": {"use_velocity": False, "gate_context": "separate"},
    "speed": {"use_mass": False, "gate_context": "separate"},
    "both": {},
}
"""The rows of the paper's table 3. Joint gates would let the one be heard in the other's place."""


def ablated_config(row: str, injection: str = "delta") -> AdapterConfig:
    """The adapter of a row of table 3; ``injection`` is ``delta`` or ``sum``. Without impacts: they tell of both."""
    return adapter_config(use_impacts=False, impact_facts=0, injection=injection, **ABLATIONS[row])
