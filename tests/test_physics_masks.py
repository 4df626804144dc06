"""Packed masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pavas_core.errors import PhysicsError
from pavas_core.physics.masks import fitted_size, pack_masks, unpack_mask, unpack_masks
from pavas_core.physics.types import MASK_LONG_SIDE


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)))
def test_small_masks_come_back(masks):
    packed = pack_masks(masks)
    np.testing.assert_array_equal(list(unpack_masks(packed)), masks)
    for index, mask in enumerate(masks):
        np.testing.assert_array_equal(unpack_mask(packed, index), mask)
        assert packed.runs[index].size == 0 or packed.runs[index].sum() == mask.size


def test_full_empty_and_negative_index():
    masks = np.stack([np.zeros((3, 4), bool), np.ones((3, 4), bool)])
    packed = pack_masks(masks)
    assert packed.runs[0].size == 0
    assert unpack_mask(packed, -1).all()
    with pytest.raises(IndexError):
        unpack_mask(packed, 2)


def test_no_frames_are_no_masks():
    assert list(unpack_masks(pack_masks(np.zeros((0, 3, 4), bool)))) == []


@pytest.mark.parametrize("shape", [(3, 4), (1, 0, 4), (1, 4, 0), (1, 2, 3, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(PhysicsError, match="frames, height, width"):
        pack_masks(np.zeros(shape, bool))


def test_large_masks_shrink_to_the_long_side_and_keep_place_and_area():
    masks = np.zeros((1, 1080, 1920), bool)
    rows, columns = np.ogrid[:1080, :1920]
    masks[0] = (rows - 300) ** 2 + (columns - 1500) ** 2 < 120**2
    packed = pack_masks(masks)
    assert (packed.height, packed.width) == fitted_size(1080, 1920) == (288, 512)
    small = unpack_mask(packed, 0)
    scale = 512 / 1920
    y, x = np.argwhere(small).mean(axis=0)
    assert (y + 0.5, x + 0.5) == pytest.approx((300 * scale, 1500 * scale), abs=0.6)
    assert small.sum() == pytest.approx(masks.sum() * scale**2, rel=0.02)
    assert sum(runs.nbytes for runs in packed.runs) < 2000


@pytest.mark.parametrize("place", [(0, 0), (537, 1001), (1079, 1919)])
def test_a_single_pixel_of_a_large_picture_is_not_lost(place):
    masks = np.zeros((1, 1080, 1920), bool)
    masks[0][place] = True
    small = unpack_mask(pack_masks(masks), 0)
    assert small.sum() == 1
    assert np.abs(np.argwhere(small)[0] / np.array(small.shape) - np.array(place) / masks.shape[1:]).max() < 0.01


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_fitted_size_keeps_proportions(height, width):
    small = fitted_size(height, width)
    assert max(small) <= MASK_LONG_SIDE
    assert min(small) >= 1
    if max(height, width) <= MASK_LONG_SIDE:
        assert small == (height, width)
