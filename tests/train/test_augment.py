"""Images as the model gets them, against Pillow; regions that follow their image, against DREA on moved boxes."""

from math import cos, radians, sin

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from galr.features.views import CPU_CHUNK, ViewParams, resize
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs
from galr.graphs.edges import EdgeConfig
from galr.model.galr import IMAGENET_MEAN, IMAGENET_STD, GraphBatch, PixelStatistics
from galr.train.augment import (
    rotate_crop,
    sample_views,
    transform_boxes,
    transform_graph,
)

IMAGENET = PixelStatistics(torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD))
VIEWS = sample_views(2 * CPU_CHUNK + 1, 24 / 40, 90, torch.Generator().manual_seed(1))
SIZE, CROP, CLASSES, MAX_REGIONS = 40, 30, 3, 6


def denormalize(pixels):
    std, mean = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_STD, IMAGENET_MEAN))
    return (pixels * std + mean) * 255


def smooth_images(count=2, size=40):
    """Images smooth enough for two ways of resampling to agree."""
    random = np.random.default_rng(0).integers(0, 255, (count, 5, 5, 3), dtype=np.uint8)
    enlarged = [
        np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
        for coarse in random
    ]
    return torch.from_numpy(np.stack(enlarged)).permute(0, 3, 1, 2)


def random_crop(images, crop, max_rotation, generator):
    views = sample_views(len(images), crop / images.shape[2], max_rotation, generator)
    return rotate_crop(images, views, crop, IMAGENET)


def test_images_are_rotated_about_the_centre_and_then_cropped(monkeypatch):
    samples = iter([torch.tensor([0.5, 0.0]), torch.tensor([[0.5, 0.5], [0.5, 0.5]])])
    monkeypatch.setattr(torch, "rand", lambda *a, **k: next(samples))
    images = smooth_images()
    crops = denormalize(random_crop(images, 24, 60, torch.Generator()))
    for pixels, angle, crop in zip(images, (30, 0), crops, strict=True):
        image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
        expected = image.rotate(angle, Image.Resampling.BILINEAR).crop((8, 8, 32, 32))
        difference = np.abs(np.asarray(expected, dtype=float) - crop.permute(1, 2, 0).numpy())
        assert difference.mean() < 2 and np.quantile(difference, 0.95) < 6


def test_crops_stay_inside_and_reach_the_border():
    image = torch.full((200, 3, 40, 40), 200, dtype=torch.uint8)
    crops = denormalize(random_crop(image, 30, 0.0, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(crops, torch.full_like(crops, 200.0), atol=0.01, rtol=0)
    ramp = torch.arange(40, dtype=torch.uint8).view(1, 1, 1, 40).expand(400, 3, 40, 40)
    crops = denormalize(random_crop(ramp, 30, 0.0, torch.Generator().manual_seed(0)))
    left = crops[:, 0, 0, 0]
    assert left.min() < 0.5 and left.max() > 9.5


def test_same_seed_same_pixels():
    one, two, other = (
        random_crop(smooth_images(), 32, 90, torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_resizing_agrees_with_pillow():
    images = smooth_images(1, 96)
    image = Image.fromarray(images[0].permute(1, 2, 0).numpy())
    expected = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR), dtype=float)
    resized = denormalize(resize(images, 64, IMAGENET))[0].permute(1, 2, 0).numpy()
    assert np.abs(expected - resized).max() <= 1.5  # Pillow rounds to whole values twice


def test_normalization_is_imagenets():
    black = resize(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 2, IMAGENET)
    assert black[0, :, 0, 0].tolist() == pytest.approx(
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    )


both_ways = pytest.mark.parametrize("views", [None, VIEWS], ids=["resized", "rotated"])


def resample(images, views):
    if views is None:
        return resize(images, 24, IMAGENET)
    return rotate_crop(images, views, 24, IMAGENET)


@both_ways
def test_many_images_are_each_as_if_alone_and_channels_last(views):
    images = smooth_images(2 * CPU_CHUNK + 1)
    together = resample(images, views)
    assert together.is_contiguous(memory_format=torch.channels_last)
    for row in range(len(images)):
        own = views and ViewParams(*(table[row : row + 1] for table in views))
        assert torch.equal(together[row : row + 1], resample(images[row : row + 1], own))


@both_ways
def test_training_in_bfloat16_gets_the_same_pixels(views):
    images = smooth_images(2 * CPU_CHUNK + 1)
    with torch.autocast("cpu", torch.bfloat16):
        pixels = resample(images, views)
    assert torch.equal(pixels, resample(images, views))


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@both_ways
def test_a_gpu_gives_the_same_pixels_without_waiting(views):
    images = smooth_images(2 * CPU_CHUNK + 1)
    on_gpu = images.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        pixels = resample(on_gpu, views)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(pixels.cpu(), resample(images, views), atol=1e-3, rtol=0)


def one_view(degrees, across, down, crop_fraction=CROP / SIZE):
    """One view: rotated by an angle, the crop's centre at (across, down) of the rotated image."""
    angle = radians(degrees)
    rotation = torch.tensor([[[cos(angle), -sin(angle)], [sin(angle), cos(angle)]]])
    return ViewParams(rotation, torch.tensor([[across, down]]), torch.tensor([crop_fraction]))


def slow_box(box, degrees, across, down):
    """Rotate the four corners in pixels and take their hull, cut at the crop: x1 y1 x2 y2 or None."""
    x1, y1, x2, y2 = box
    angle = radians(-degrees)
    corners = []
    for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)):
        dx, dy = x - SIZE / 2, y - SIZE / 2
        rx = dx * cos(angle) - dy * sin(angle)
        ry = dx * sin(angle) + dy * cos(angle)
        left, top = (SIZE / 2 * offset - CROP / 2 for offset in (across, down))
        corners.append((rx - left, ry - top))
    xs, ys = zip(*corners, strict=True)
    hull = [max(min(xs), 0), max(min(ys), 0), min(max(xs), CROP), min(max(ys), CROP)]
    return hull if hull[0] < hull[2] and hull[1] < hull[3] else None


def drea_graph(boxes, scores, classes, size, edges):
    """DREA's graph of one image, as a batch of one."""
    regions = Detections(
        np.array([0, len(boxes)]),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(scores, np.float64),
        np.array(classes, np.int64),
        np.array([[size, size]]),
    )
    result = build_graphs(
        regions,
        CLASSES,
        min_score=0,
        max_regions=MAX_REGIONS,
        similarity="none",
        similarity_threshold=1,
        edges=edges,
    )
    tables = (result.representation, result.adjacency, result.mask)
    return GraphBatch(*map(torch.from_numpy, tables))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, MAX_REGIONS),
    st.floats(0, 90),
    st.floats(-0.25, 0.25),
    st.floats(-0.25, 0.25),
    st.sampled_from(
        [
            EdgeConfig("gaussian", 0.2),
            EdgeConfig("giou", 1, self_loops=False),
            EdgeConfig("iou", 1, salience=False),
        ]
    ),
)
def test_transformed_graphs_are_those_of_transformed_boxes(
    seed, count, degrees, across, down, edges
):
    random = np.random.default_rng(seed)
    corner = random.uniform(0, SIZE - 12, (count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(1, 12, (count, 2))], axis=1)
    scores = np.sort(random.choice(np.arange(1, 100), count, replace=False))[::-1] / 100
    classes = random.integers(CLASSES, size=count)
    moved = [slow_box(box, degrees, across, down) for box in boxes.tolist()]
    inside = [index for index, box in enumerate(moved) if box is not None]
    if any(min(b[2] - b[0], b[3] - b[1]) < 1e-3 for b in moved if b is not None):
        return  # touches the border by less than rounding
    expected = drea_graph([moved[i] for i in inside], scores[inside], classes[inside], CROP, edges)
    graph = drea_graph(boxes, scores, classes, SIZE, edges)
    result = transform_graph(graph, one_view(degrees, across, down), edges)
    assert torch.equal(result.mask, expected.mask)
    torch.testing.assert_close(result.representation, expected.representation, atol=2e-5, rtol=0)
    torch.testing.assert_close(result.adjacency, expected.adjacency, atol=2e-4, rtol=0)


def test_a_view_of_the_whole_image_changes_no_graph():
    edges = EdgeConfig("gaussian", 0.3)
    graph = drea_graph([[1, 2, 9, 12], [20, 5, 33, 30]], [0.9, 0.4], [0, 2], SIZE, edges)
    same = transform_graph(graph, one_view(0, 0, 0, crop_fraction=1.0), edges)
    for before, after in zip(graph, same, strict=True):
        torch.testing.assert_close(before, after)


def test_boxes_follow_the_pixels():
    """A bright square in the image is where its transformed box says."""
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    image[:, :, 20:30, 34:50] = 255
    box = torch.tensor([[[42 / 64, 25 / 64, 16 / 64, 10 / 64]]])
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        views = sample_views(1, 48 / 64, 90, generator)
        crop = rotate_crop(image, views, 48, IMAGENET)[0, 0]
        bright = (crop - crop.min()) > (crop.max() - crop.min()) / 2
        rows, columns = (side.nonzero().flatten() for side in (bright.any(1), bright.any(0)))
        x, y, w, h = (transform_boxes(box, views)[0, 0] * 48).tolist()
        assert float(rows[0]) == pytest.approx(y - h / 2, abs=1.6)
        assert float(rows[-1]) + 1 == pytest.approx(y + h / 2, abs=1.6)
        assert float(columns[0]) == pytest.approx(x - w / 2, abs=1.6)
        assert float(columns[-1]) + 1 == pytest.approx(x + w / 2, abs=1.6)


def test_regions_outside_the_crop_become_padding_at_the_end():
    edges = EdgeConfig("gaussian", 0.2)
    boxes = [[0, 0, 4, 4], [18, 18, 22, 22], [36, 36, 40, 40], [10, 20, 14, 24]]
    graph = drea_graph(boxes, [0.9, 0.8, 0.7, 0.6], [0, 1, 2, 0], SIZE, edges)
    result = transform_graph(graph, one_view(0, 0, 0, crop_fraction=0.5), edges)
    assert result.mask[0].tolist() == [True, True, False, False, False, False]
    assert result.representation[0, :2, :CLASSES].argmax(1).tolist() == [1, 0]
    assert not result.representation[0, 2:].any()
    assert not result.adjacency[0, 2:].any()
    assert not result.adjacency[0, :, 2:].any()
