"""Boxes are held against the picture itself and against a slow definition of coverage."""

from dataclasses import replace

import numpy as np
import pytest

from galr.data.scenes import brush, picture
from galr.data.scenes.album import draw_page, scene_of
from galr.data.scenes.outline import outline
from galr.data.scenes.scene import KINDS
from galr.data.scenes.shapes import turned


def inside(points, polygon):
    """Say the definition out loud: a ray to the right crosses the outline an odd number of times."""
    x, y = points.T
    odd = np.zeros(len(points), bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        crosses = (ay > y) != (by > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            odd ^= crosses & (x < ax + (y - ay) / (by - ay) * (bx - ax))
    return odd


def slow_box(thing, size, fine=8):
    """The box of the pixels that the outline covers by half, from points on a fine grid."""
    scale = size / 256
    reach = int(np.hypot(thing.length, thing.width) * scale / 2) + 2
    left, top = int(thing.x * scale) - reach, int(thing.y * scale) - reach
    steps = (np.arange(2 * reach * fine) + 0.5) / fine
    grid = np.stack(np.meshgrid(steps + left, steps + top), -1).reshape(-1, 2)
    covered = np.zeros(len(grid), bool)
    for part in outline(thing):
        covered |= inside(grid, turned(part, thing.angle, thing.x, thing.y) * scale)
    share = covered.reshape(2 * reach, fine, 2 * reach, fine).mean((1, 3))
    rows, columns = np.nonzero(share >= 0.5)
    return left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1


def drawn(scene, size):
    return picture.picture_of(scene, size, np.random.default_rng(5))


@pytest.mark.parametrize("size", [64, 256, 300])
def test_boxes_are_those_of_the_slow_definition(size):
    for number in range(8):
        scene = scene_of(2, number)
        _, boxes = drawn(scene, size)
        for thing, box in zip(scene.things, boxes, strict=True):
            assert box == pytest.approx(slow_box(thing, size), abs=1)


def test_a_box_holds_what_its_thing_changes_in_the_picture(monkeypatch):
    for kind in KINDS:
        monkeypatch.setitem(brush.HEIGHTS, kind, 0)  # a shadow lies outside of the box
    seen = set()
    for number in range(14):
        scene = replace(scene_of(4, number), trees=())
        full, boxes = drawn(scene, 256)
        start = 0
        for index, group in enumerate(scene.groups):
            rest = (*group.things[1:],)
            groups = list(scene.groups)
            groups[index : index + 1] = [replace(group, things=rest)] if rest else []
            without, _ = drawn(replace(scene, groups=tuple(groups)), 256)
            rows, columns = np.nonzero(np.abs(full.astype(int) - without).max(-1) > 3)
            changed = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert boxes[start] == pytest.approx(changed, abs=1), group.kind
            start += len(group.things)
            seen.add(group.kind)
    assert seen == set(KINDS)


@pytest.mark.parametrize("size", [64, 256])
def test_boxes_are_inside_and_clear_of_one_another(size):
    for number in range(20):
        _, page = draw_page(9, number, size=size, sentences=1)
        for i, (left, top, right, bottom) in enumerate(page.boxes):
            assert 0 <= left < right <= size and 0 <= top < bottom <= size
            for other in page.boxes[:i]:
                assert (
                    right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
                )


def test_objects_are_of_the_promised_size():
    sides = []
    for number in range(25):
        _, page = draw_page(7, number, size=256, sentences=1)
        sides += [max(right - left, bottom - top) for left, top, right, bottom in page.boxes]
    assert 13 <= min(sides) and max(sides) <= 62


def test_mean_brightness_and_hue_vary_within_a_landscape():
    pictures = {}
    for number in range(40):
        scene = scene_of(7, number)
        mean = draw_page(7, number, size=64, sentences=1)[0].mean((0, 1))
        pictures.setdefault(scene.landscape.name, []).append(mean)
    spreads = [
        np.std([mean.mean() for mean in means]) for means in pictures.values() if len(means) > 3
    ]
    assert spreads and min(spreads) > 3


def test_a_scene_is_the_same_at_every_size():
    small = draw_page(7, 3, size=64, sentences=2)
    large = draw_page(7, 3, size=256, sentences=2)
    assert small[1].sentences == large[1].sentences and small[1].kinds == large[1].kinds
    shrunk = large[0].reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(shrunk - small[0]).mean() < 6
