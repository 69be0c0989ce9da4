import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.errors import ConfigError
from galr.search.rasters import GeoTransform, Tiling, Window, window_corners

SIDES = st.integers(1, 300)


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(1, 90), st.floats(0, 0.9), SIDES)
def test_tiles_cover_every_pixel_and_stay_inside(width, height, side, overlap, whole):
    tiles = Tiling(side, overlap, whole).windows(width, height)
    seen = np.zeros((height, width), int)
    for x, y, w, h in tiles:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
        seen[y : y + h, x : x + w] += 1
    assert seen.all() and len(set(tiles)) == len(tiles)
    if max(width, height) <= whole:
        assert tiles == [(0, 0, width, height)]
    else:
        assert {tile[2:] for tile in tiles} == {(min(side, width), min(side, height))}


@settings(deadline=None)
@given(st.integers(40, 400), st.integers(8, 40), st.floats(0, 0.8))
def test_neighbours_share_what_was_asked_for(width, side, overlap):
    lefts = [tile.x for tile in Tiling(side, overlap, 1).windows(width, side)]
    steps = np.diff(lefts)
    assert (side - steps >= np.floor(side * overlap)).all()
    assert len(steps) == 0 or steps.max() - steps.min() <= 1


def test_a_large_raster_has_as_many_tiles_as_it_should():
    tiles = Tiling(256, 0.25, 512).windows(10_000, 10_000)
    assert len(tiles) == 52**2  # (10,000 - 256) / 192 rounded up, and the first


def test_corners_of_a_turned_raster():
    place = GeoTransform((0.0, 2.0, 100.0, -2.0, 0.0, 50.0), "EPSG:32633")
    assert window_corners(place, Window(10, 20, 5, 4)) == [
        (140, 30),
        (140, 20),
        (148, 20),
        (148, 30),
    ]


@pytest.mark.parametrize(
    ("choices", "says"),
    [((0, 0.2, 9), "tile and whole"), ((9, 1.0, 9), "overlap"), ((9, 0.1, 0), "tile and whole")],
)
def test_what_cuts_nothing_is_refused(choices, says):
    with pytest.raises(ConfigError, match=says):
        Tiling(*choices)
