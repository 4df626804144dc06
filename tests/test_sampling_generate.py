"""Sampling with any network: guidance, physics, takes, windows."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pavas_core.audio import Audio
from pavas_core.errors import PavasError, PhysicsError
from pavas_core.evaluation.loudness import loudness_lufs, measure
from pavas_core.models.network import FlowTransformer, NetworkConfig
from pavas_core.models.phy_adapter import AdapterConfig, PhyAdapter
from pavas_core.models.sound_model import Features, ObjectFeatures, SoundModel
from pavas_core.physics.resample import speed_at
from pavas_core.physics.types import Scene, Velocity
from pavas_core.runtime import Runtime
from pavas_core.sampling.generate import clip_tokens, features_of_text, generate, sync_tokens
from pavas_core.sampling.physics import encode_physics
from pavas_core.sampling.vocode import vocode
from pavas_core.sampling.windows import latent_length, plan_windows, slots_of
from tests.parity import fill
from tests.physics_scenes import make_scene

CONFIG = NetworkConfig(6, 64, 3, 2, clip_dim=8, sync_dim=12, text_dim=10, text_length=7)
RUNTIME = Runtime()


@dataclass
class TinyModel(SoundModel):
    """A random network whose decoder is a repetition of the latent's first channel."""

    network: FlowTransformer
    adapter: PhyAdapter | None = None
    name: str = "tiny"
    sample_rate: int = 800
    latent_rate_hz: float = 25.0
    window_s: float = 4.0
    dtype: Any = torch.float32
    encoder: str = "tiny-eyes"
    asked: int = 0

    def encode_text(self, text, *, runtime):
        self.asked += 1
        generator = torch.Generator().manual_seed(len(text))
        return torch.randn(CONFIG.text_length, CONFIG.text_dim, generator=generator)

    def decode(self, latent, *, runtime):
        return latent[..., 0].repeat_interleave(round(self.sample_rate / self.latent_rate_hz), dim=1)


def model(adapter: bool = False) -> TinyModel:
    network = FlowTransformer(CONFIG).eval()
    fill(network)
    if not adapter:
        return TinyModel(network)
    physics = PhyAdapter(AdapterConfig(64, 3, 5, 16, 4, use_impacts=True)).eval()
    fill(physics, keep=("omega",))
    return TinyModel(network, physics)


def features(duration_s: float = 3.0, objects: bool = False) -> Features:
    generator = torch.Generator().manual_seed(3)
    count = clip_tokens(duration_s)
    seen = ObjectFeatures("ball-1", torch.randn(count, 5, generator=generator), torch.ones(count, dtype=torch.bool))
    return Features(
        "tiny-eyes",
        duration_s,
        torch.randn(count, CONFIG.clip_dim, generator=generator),
        torch.randn(sync_tokens(duration_s), CONFIG.sync_dim, generator=generator),
        torch.arange(count, dtype=torch.float64) / 8,
        (seen,) if objects else (),
    )


def ball_scene() -> Scene:
    """The ball of a small scene, alone."""
    scene = make_scene(tracks=False)
    impacts = tuple(one for one in scene.impacts if one.object_id == "ball-1" and one.partner is None)
    return replace(scene, bodies=scene.bodies[:1], impacts=impacts)


def sample(of: TinyModel, seen: Features, physics=None, **options) -> torch.Tensor:
    return generate(of, seen, physics, **({"steps": 3, "runtime": RUNTIME} | options))


def test_same_seed_same_sound_and_takes_are_seeds():
    tiny, seen = model(), features()
    three = sample(tiny, seen, prompt="wood", seed=5, takes=3)
    assert three.shape == (3, latent_length(3.0, 25.0), 6)
    assert torch.equal(three, sample(tiny, seen, prompt="wood", seed=5, takes=3))
    torch.testing.assert_close(three[2:], sample(tiny, seen, prompt="wood", seed=7), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(three[0], three[1])


def test_prompt_negative_prompt_and_guidance_matter():
    tiny, seen = model(), features()
    base = sample(tiny, seen, prompt="wood")
    for changed in ({"prompt": "steel!"}, {"negative_prompt": "music"}, {"cfg_strength": 2.0}, {"seed": 1}):
        assert not torch.allclose(base, sample(tiny, seen, **({"prompt": "wood"} | changed)), atol=1e-3), changed
    unguided = sample(tiny, seen, prompt="wood", cfg_strength=0.5)
    assert torch.equal(unguided, sample(tiny, seen, prompt="wood", cfg_strength=0.0, negative_prompt="music"))
    tiny.asked = 0
    sample(tiny, seen)
    assert tiny.asked == 0, "no prompt is the network's own null text"


def test_sound_from_text_alone():
    tiny = model()
    without = features_of_text(tiny, 2.0)
    latent = sample(tiny, without, prompt="rain")
    assert latent.shape == (1, 50, 6)
    assert not torch.allclose(latent, sample(tiny, without, prompt="sun"), atol=1e-3)


def test_physics_changes_the_sound_by_its_strength():
    tiny, seen, scene = model(adapter=True), features(objects=True), ball_scene()
    heavier = replace(scene, bodies=tuple(replace(one, mass=replace(one.mass, mass_kg=50.0)) for one in scene.bodies))
    light, heavy = (encode_physics(tiny, seen, one, runtime=RUNTIME) for one in (scene, heavier))
    none = sample(tiny, seen)
    assert not torch.allclose(sample(tiny, seen, light), sample(tiny, seen, heavy), atol=1e-3)
    torch.testing.assert_close(sample(tiny, seen, light, physics_strength=0.0), none, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        sample(tiny, seen, light, physics_cfg=4.5), sample(tiny, seen, light), atol=1e-3, rtol=1e-3
    )
    assert not torch.allclose(sample(tiny, seen, light, physics_cfg=9.0), sample(tiny, seen, light), atol=1e-3)


def test_a_model_may_say_how_strongly_physics_guides_it():
    tiny, seen = model(adapter=True), features(objects=True)
    given = encode_physics(tiny, seen, ball_scene(), runtime=RUNTIME)
    asked = sample(tiny, seen, given, physics_cfg=9.0)
    plain = sample(tiny, seen, given)
    tiny.physics_cfg = 9.0
    assert torch.equal(sample(tiny, seen, given), asked)
    assert torch.allclose(sample(tiny, seen, given, physics_cfg=4.5), plain, atol=1e-3, rtol=1e-3)


def test_guidance_that_changes_nothing_costs_nothing(monkeypatch):
    tiny, seen = model(), features()
    calls = []
    flow = tiny.network.flow
    monkeypatch.setattr(tiny.network, "flow", lambda *given: calls.append(1) or flow(*given))
    sample(tiny, seen, cfg_strength=1.0, steps=2)
    alone = len(calls)
    sample(tiny, seen, cfg_strength=2.0, steps=2)
    assert len(calls) - alone == 2 * alone


def test_a_fresh_adapter_leaves_the_backbone_bit_for_bit():
    tiny, seen = model(), features(objects=True)
    plain = sample(tiny, seen)
    fresh = TinyModel(tiny.network, PhyAdapter(AdapterConfig(64, 3, 5, 16, 4, use_impacts=True)).eval())
    physics = encode_physics(fresh, seen, ball_scene(), runtime=RUNTIME)
    assert torch.equal(plain, sample(fresh, seen, physics))


def test_physics_needs_an_adapter_and_the_scenes_objects():
    scene = ball_scene()
    with pytest.raises(PhysicsError, match="has no Phy-Adapter"):
        encode_physics(model(), features(objects=True), scene, runtime=RUNTIME)
    with pytest.raises(PhysicsError, match="no object but not ball-1"):
        encode_physics(model(adapter=True), features(), scene, runtime=RUNTIME)
    tiny = model(adapter=True)
    nothing = encode_physics(tiny, features(), replace(scene, bodies=(), impacts=()), runtime=RUNTIME)
    assert sample(tiny, features(), nothing).isfinite().all()


def test_what_does_not_fit_is_refused():
    tiny, seen = model(adapter=True), features(objects=True)
    physics = encode_physics(tiny, seen, ball_scene(), runtime=RUNTIME)
    for wrong, says in (
        (lambda: sample(tiny, replace(seen, encoder="other")), "run Encode Video"),
        (lambda: sample(tiny, seen, replace(physics, model="other")), "encode it again"),
        (lambda: sample(tiny, seen, steps=0), "0 steps"),
        (lambda: sample(tiny, replace(seen, duration_s=0.0)), "longer duration"),
    ):
        with pytest.raises(PavasError, match=says):
            wrong()


def test_cancelling_stops_between_windows():
    class Stop(BaseException):
        pass

    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 4:
            raise Stop

    with pytest.raises(Stop):
        sample(model(), features(12.0), runtime=Runtime(check_cancelled=check))


def test_a_long_sound_is_seamless_where_its_windows_agree():
    """With a network that ignores place, windows or one pass give the same sound."""
    tiny, seen = model(), features_of_text(model(), 13.0)
    for block in (*tiny.network.joint_blocks, *tiny.network.fused_blocks):
        for name, value in block.state_dict().items():
            if "adaLN" in name:
                value.zero_()  # gates of 0: what is left sees its neighbours only
    windowed = sample(tiny, seen, prompt="rain")
    tiny.window_s = 20.0
    whole = sample(tiny, seen, prompt="rain")
    # Projections see 3 tokens to each side, so a window's first and last tokens differ, where its share is small.
    difference = (windowed - whole).abs().amax(dim=-1)[0]
    assert float(difference.median()) < 0.02 * float(whole.std())
    assert float(difference.max()) < 0.5 * float(whole.std())


@settings(max_examples=200, deadline=None)
@given(
    duration_s=st.floats(0.5, 300),
    window_s=st.sampled_from([4.0, 8.0]),
    cuts_s=st.lists(st.floats(0, 300), max_size=12),
)
def test_windows_cover_everything_and_their_shares_add_up(duration_s, window_s, cuts_s):
    windows = plan_windows(duration_s, window_s, cuts_s=[cut for cut in cuts_s if cut < duration_s])
    length = latent_length(duration_s, 43.06640625)
    total = torch.zeros(length, dtype=torch.float64)
    for slot, window in zip(slots_of(windows, 43.06640625, length), windows, strict=True):
        assert slot.last > slot.first
        assert len(windows) == 1 or window.end_s - window.start_s <= window_s + 0.7
        total[slot.first : slot.last] += slot.weight.double()
    torch.testing.assert_close(total, torch.ones_like(total))


def test_windows_meet_at_cuts():
    first, second, third, fourth = plan_windows(20.0, 8.0, cuts_s=[6.0, 9.0])
    assert [round(window.end_s, 2) for window in (first, second, fourth)] == [6.16, 9.16, 20.0]
    assert second.start_s < 6.0 < first.end_s
    assert third.start_s < 9.0 < second.end_s
    assert first.fade_out_s == pytest.approx(second.fade_in_s)
    assert first.fade_out_s < 0.7 < third.fade_out_s
    together = plan_windows(20.0, 8.0, cuts_s=[3.0, 6.0, 13.0])
    assert [round(window.end_s, 2) for window in together] == [6.16, 13.16, 20.0]


def test_speeds_never_leak_across_an_impact():
    times = np.arange(10) / 10 + 0.05
    speed = np.where(times < 0.5, 3.0 + times, 1.0).astype(np.float32)
    speed[8] = np.nan
    velocity = Velocity("ball-1", times, speed, None, None, (), None, "manual", 0.0)
    at = speed_at(velocity, np.array([0.0, 0.1, 0.49, 0.51, 0.7, 0.84, 1.5]), [0.5])
    assert at[:3] == pytest.approx([3.05, 3.1, 3.45])
    assert at[3:6] == pytest.approx([1.0, 1.0, 1.0])
    assert np.isnan(at[6])


def test_vocoding_is_cut_to_the_sample_and_says_what_is_wrong(caplog):
    tiny = model()
    latent = torch.randn(2, 51, 6, generator=torch.Generator().manual_seed(0))
    first, second = vocode(tiny, latent, 2.0013, output_gain_db=-20.0, runtime=RUNTIME)
    assert first.waveform.shape == (1, 1601)
    assert not np.allclose(first.waveform, second.waveform)
    np.testing.assert_allclose(first.waveform[0, 0], latent[0, 0, 0] / 10, rtol=1e-5)
    caplog.clear()
    for bad, says in ((torch.zeros(1, 51, 6), "is silent"), (torch.full((1, 51, 6), 2.0), "clips in 100.00%")):
        vocode(tiny, bad, 2.0, runtime=RUNTIME)
        assert says in caplog.text
    assert "offset" in caplog.text
    with pytest.raises(PavasError, match="no number"):
        vocode(tiny, torch.full((1, 51, 6), math.nan), 2.0, runtime=RUNTIME)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_loudness_of_the_reference_tone(rate):
    """BS.1770: a full-scale sine of 997 Hz in one channel reads -3.01 LUFS; 20 dB less reads 20 LU less."""
    tone = np.sin(2 * np.pi * 997 * np.arange(5 * rate) / rate)[None].astype(np.float32)
    assert loudness_lufs(Audio(tone, rate)) == pytest.approx(-3.01, abs=0.1)
    quiet = np.concatenate([tone / 10, np.zeros_like(tone)], axis=1)  # silence is gated out
    assert loudness_lufs(Audio(quiet, rate)) == pytest.approx(-23.01, abs=0.2)
    assert measure(Audio(tone[:, :0], rate)).peak_dbfs == -np.inf
    assert loudness_lufs(Audio(np.zeros((1, rate), np.float32), rate)) == -np.inf
