"""Weights of pavas-nano as they are kept."""

from __future__ import annotations

import pytest
import torch

from pavas_core.models.nano_packing import SCALE, packed, unpacked


def test_large_weights_come_back_to_half_a_step_of_their_rows_largest() -> None:
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(64, 64, 3, generator=generator) * torch.logspace(-3, 1, 64)[:, None, None]
    kept = packed({"a.weight": given})
    assert kept["a.weight"].dtype == torch.int8
    assert kept["a.weight"].shape == given.shape
    back = unpacked(kept)
    assert back.keys() == {"a.weight"}
    step = given.flatten(1).abs().amax(dim=1) / 127
    assert ((back["a.weight"] - given).flatten(1).abs().amax(dim=1) <= 0.55 * step).all()


def test_vectors_and_small_weights_stay_in_half_precision() -> None:
    given = {"bias": torch.linspace(-1, 1, 5000), "small.weight": torch.eye(8), "one.scale": torch.tensor([0.1])}
    back = unpacked(packed(given))
    assert back.keys() == given.keys()
    for name, value in given.items():
        torch.testing.assert_close(back[name], value.half().float())


def test_a_row_of_zeros_stays_zero() -> None:
    given = torch.ones(2, 8192)
    given[0] = 0
    assert torch.equal(unpacked(packed({"w": given}))["w"][0], torch.zeros(8192))


def test_missing_scales_are_no_weights() -> None:
    kept = packed({"w": torch.ones(2, 8192)})
    del kept["w" + SCALE]
    with pytest.raises(KeyError):
        unpacked(kept)
