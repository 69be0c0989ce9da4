import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galr.errors import ConfigError
from galr.io.windows import GeoTransform, Window
from galr.search.windows import Tiling

SIDES = st.integers(1, 300)


@given(SIDES, SIDES, st.integers(1, 90), st.floats(0, 0.9), SIDES)
def test_tiles_cover_every_pixel_and_stay_inside(width, height, tile_size, overlap, max_untiled):
    tiles = Tiling(tile_size, overlap, max_untiled).windows(width, height)
    covered = np.zeros((height, width), int)
    for x, y, w, h in tiles:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
        covered[y : y + h, x : x + w] += 1
    assert covered.all() and len(set(tiles)) == len(tiles)
    if max(width, height) <= max_untiled:
        assert tiles == [(0, 0, width, height)]
    else:
        assert {tile[2:] for tile in tiles} == {(min(tile_size, width), min(tile_size, height))}


@given(st.integers(40, 400), st.integers(8, 40), st.floats(0, 0.8))
def test_neighbouring_tiles_share_at_least_the_overlap_and_are_evenly_spread(
    width, tile_size, overlap
):
    lefts = [tile.x for tile in Tiling(tile_size, overlap, 1).windows(width, tile_size)]
    steps = np.diff(lefts)
    assert (tile_size - steps >= np.floor(tile_size * overlap)).all()
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


def test_a_large_image_has_the_number_of_tiles_that_its_size_and_the_stride_give():
    tiles = Tiling(256, 0.25, 512).windows(10_000, 10_000)
    assert len(tiles) == 52**2  # (10,000 - 256) / 192 rounded up, and the first


def test_corners_follow_a_rotated_transform():
    geo_transform = GeoTransform((0.0, 2.0, 100.0, -2.0, 0.0, 50.0), "EPSG:32633")
    corners = geo_transform.corners(Window(10, 20, 5, 4))
    assert corners == [(140, 30), (140, 20), (148, 20), (148, 30)]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 0.2, 9), "at least 1 pixel, got 0 and 9"),
        ((9, 0.1, 0), "at least 1 pixel, got 9 and 0"),
        ((9, 1.0, 9), r"in \[0, 1\), got 1.0"),
    ],
)
def test_a_tiling_out_of_range_is_an_error(values, message):
    with pytest.raises(ConfigError, match=message):
        Tiling(*values)
