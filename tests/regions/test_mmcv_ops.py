"""Each operator against a slow definition that says out loud what it computes."""

import importlib
import sys

import numpy as np
import pytest
import torch

from galr.errors import ConfigError
from galr.regions import mmdet_imports  # importing it installs the operators
from galr.regions.mmdet_imports import suppress_output

with suppress_output():
    import mmcv
    from mmcv import ops

COMPILED = not isinstance(sys.modules.get(mmdet_imports.EXTENSION_NAME), mmdet_imports.FallbackOps)


def iou(a, b, offset=0):
    """Overlap of two boxes x1 y1 x2 y2, by areas."""
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + offset, 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]) + offset, 0)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def slow_nms(boxes, scores, threshold, offset=0):
    """Go down the list; keep what overlaps nothing kept by more than the threshold."""
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def crowd(random, n=60):
    """Boxes that overlap a lot, with scores that differ."""
    corners = random.uniform(0, 60, (n, 2))
    boxes = np.hstack([corners, corners + random.uniform(5, 40, (n, 2))]).astype(np.float32)
    return boxes, random.permutation(np.linspace(0.1, 0.9, n)).astype(np.float32)


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_nms_matches_the_definition(threshold, offset):
    boxes, scores = crowd(np.random.default_rng(0))
    _, kept = ops.nms(torch.tensor(boxes), torch.tensor(scores), threshold, offset)
    assert kept.tolist() == slow_nms(boxes, scores, threshold, offset)


def test_nms_of_no_boxes_keeps_none():
    _, kept = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.tolist() == []


def test_batched_nms_suppresses_within_a_class_only():
    boxes, scores = crowd(np.random.default_rng(1))
    classes = np.arange(len(boxes)) % 3
    _, kept = ops.batched_nms(
        *map(torch.tensor, (boxes, scores, classes)), {"type": "nms", "iou_threshold": 0.4}
    )
    expected = []
    for one in range(3):
        (members,) = np.nonzero(classes == one)
        expected += [members[i] for i in slow_nms(boxes[members], scores[members], 0.4)]
    assert kept.tolist() == sorted(expected, key=lambda i: -scores[i])


def slow_soft_nms(boxes, scores, soften, min_score):
    """Take the best, lower the others by their overlap with it, drop the hopeless, repeat."""
    scores, waiting, kept = dict(enumerate(scores.tolist())), set(range(len(boxes))), []
    while waiting:
        best = max(waiting, key=lambda i: scores[i])
        kept.append((best, scores[best]))
        waiting.discard(best)
        for i in list(waiting):
            scores[i] *= soften(iou(boxes[best], boxes[i]))
            if scores[i] < min_score:
                waiting.discard(i)
    return kept


@pytest.mark.parametrize(
    ("method", "soften"),
    [
        ("naive", lambda overlap: 0 if overlap >= 0.3 else 1),
        ("linear", lambda overlap: 1 - overlap if overlap >= 0.3 else 1),
        ("gaussian", lambda overlap: np.exp(-(overlap**2) / 0.5)),
    ],
)
def test_soft_nms_matches_the_definition(method, soften):
    boxes, scores = crowd(np.random.default_rng(2), n=30)
    found, kept = ops.soft_nms(
        torch.tensor(boxes), torch.tensor(scores), 0.3, 0.5, min_score=0.05, method=method
    )
    expected = slow_soft_nms(boxes, scores, soften, 0.05)
    assert kept.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(found[:, 4], [score for _, score in expected], rtol=1e-5)


def bilinear(plane, y, x):
    """Read a (height, width) plane between its pixels; a pixel beyond the edge counts as the edge's."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    down, right = y - top, x - left
    return (
        plane[top, left] * (1 - down) * (1 - right)
        + plane[top, left + 1] * (1 - down) * right
        + plane[top + 1, left] * down * (1 - right)
        + plane[top + 1, left + 1] * down * right
    )


def slow_roi_align(features, rois, size, scale, samples, aligned):
    """Average samples x samples readings in each cell of each region."""
    out = np.zeros((len(rois), features.shape[1], size, size))
    for n, (row, *box) in enumerate(rois):
        x1, y1, x2, y2 = np.array(box) * scale - (0.5 if aligned else 0)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        for c, i, j in np.ndindex(features.shape[1], size, size):
            out[n, c, i, j] = np.mean(
                [
                    bilinear(
                        features[int(row), c],
                        y1 + (i + (a + 0.5) / samples) * height / size,
                        x1 + (j + (b + 0.5) / samples) * width / size,
                    )
                    for a in range(samples)
                    for b in range(samples)
                ]
            )
    return out


@pytest.mark.parametrize("aligned", [True, False])
def test_roi_align_matches_the_definition(aligned):
    random = np.random.default_rng(3)
    features = random.normal(size=(2, 2, 9, 12))
    rois = np.array([[0, 3, 4, 30, 21], [1, -5, -8, 20, 10], [1, 30, 20, 60, 50], [0, 6, 6, 7, 7]])
    found = ops.roi_align(
        torch.tensor(features), torch.tensor(rois, dtype=torch.float64), 3, 0.25, 2, "avg", aligned
    )
    expected = slow_roi_align(features, rois, 3, 0.25, 2, aligned)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def slow_deform_conv(features, offset, weight, mask, padding, stride):
    """Each tap of each output reads its channel at its own place, nought outside; one group."""
    batch, channels = features.shape[:2]
    outputs, _, kernel, _ = weight.shape
    _, _, rows, columns = offset.shape
    out = np.zeros((batch, outputs, rows, columns))
    padded = np.pad(features, ((0, 0), (0, 0), (9, 9), (9, 9)))
    for b, o, i, j, c in np.ndindex(batch, outputs, rows, columns, channels):
        for tap in range(kernel * kernel):
            dy, dx = offset[b, 2 * tap, i, j], offset[b, 2 * tap + 1, i, j]
            y = i * stride - padding + tap // kernel + dy + 9
            x = j * stride - padding + tap % kernel + dx + 9
            share = 1 if mask is None else mask[b, tap, i, j]
            value = bilinear(padded[b, c], y, x)
            out[b, o, i, j] += weight[o, c, tap // kernel, tap % kernel] * share * value
    return out


def deformable(random):
    """Features, offsets, masks and weights of a 3 x 3 deformable convolution of stride 2."""
    features = random.normal(size=(2, 3, 7, 6))
    offset = random.uniform(-1.4, 1.4, size=(2, 18, 4, 3))
    return features, offset, random.uniform(size=(2, 9, 4, 3)), random.normal(size=(4, 3, 3, 3))


def test_deform_conv_matches_the_definition():
    features, offset, _, weight = deformable(np.random.default_rng(4))
    found = ops.deform_conv2d(*map(torch.tensor, (features, offset, weight)), 2, 1)
    expected = slow_deform_conv(features, offset, weight, None, padding=1, stride=2)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_modulated_deform_conv_matches_the_definition():
    features, offset, mask, weight = deformable(np.random.default_rng(5))
    bias = np.arange(4.0)
    found = ops.modulated_deform_conv2d(
        *map(torch.tensor, (features, offset, mask, weight, bias)), 2, 1
    )
    expected = slow_deform_conv(features, offset, weight, mask, padding=1, stride=2)
    np.testing.assert_allclose(found, expected + bias[:, None, None], atol=1e-9)


def test_focal_loss_matches_the_definition():
    logits, target = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 2, 3, 1, 3])
    found = ops.sigmoid_focal_loss(logits, target, 2.0, 0.25, None, "sum")
    expected = 0.0
    for row, truth in zip(logits.sigmoid().tolist(), target.tolist(), strict=True):
        for number, p in enumerate(row):  # 3 is the background, and no class is true
            true = number == truth
            expected -= 0.25 * (1 - p) ** 2 * np.log(p) if true else 0.75 * p**2 * np.log(1 - p)
    assert found.item() == pytest.approx(expected)


def attention(random):
    """Values on two levels, places to read them and weights, of deformable attention."""
    value = random.normal(size=(1, 4 * 5 + 2 * 3, 2, 3))
    places = random.uniform(0.2, 0.8, size=(1, 4, 2, 2, 2, 2))
    return value, places, random.uniform(size=(1, 4, 2, 2, 2))


def attend(value, places, weights):
    """Call mmcv's operator, which it otherwise uses on a GPU only."""
    shapes, begins = (torch.tensor(each, device="cpu") for each in ([[4, 5], [2, 3]], [0, 20]))
    function = ops.multi_scale_deform_attn.MultiScaleDeformableAttnFunction
    return function.apply(value, shapes, begins, places, weights, 64)


def test_deformable_attention_matches_the_definition():
    value, places, weights = attention(np.random.default_rng(6))
    found = attend(*map(torch.tensor, (value, places, weights))).reshape(4, 2, 3)
    levels = value[0, :20].reshape(4, 5, 2, 3), value[0, 20:].reshape(2, 3, 2, 3)
    expected = np.zeros((4, 2, 3))
    for q, head, level, point, c in np.ndindex(4, 2, 2, 2, 3):
        plane = np.pad(levels[level][:, :, head, c], 2)
        x, y = places[0, q, head, level, point]
        height, width = levels[level].shape[:2]
        reading = bilinear(plane, y * height - 0.5 + 2, x * width - 0.5 + 2)
        expected[q, head, c] += weights[0, q, head, level, point] * reading
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [
        (
            lambda features: ops.roi_align(
                features, torch.tensor([[0, 3.0, 4, 30, 21]]).double(), 3, 0.25, 2, "avg", True
            ),
            [np.random.default_rng(7).normal(size=(1, 2, 9, 12))],
        ),
        (
            lambda features, offset, weight: ops.deform_conv2d(features, offset, weight, 2, 1),
            [deformable(np.random.default_rng(8))[i] for i in (0, 1, 3)],
        ),
        (
            lambda *inputs: ops.modulated_deform_conv2d(*inputs, 2, 1),
            [*deformable(np.random.default_rng(9)), np.arange(4.0)],
        ),
        (
            lambda logits: ops.sigmoid_focal_loss(
                logits, torch.tensor([0, 2, 3]), 2.0, 0.25, None, "mean"
            ),
            [np.random.default_rng(10).normal(size=(3, 3))],
        ),
        (attend, attention(np.random.default_rng(11))),
    ],
    ids=["roi_align", "deform_conv", "modulated_deform_conv", "focal_loss", "deformable_attention"],
)
def test_gradients_match_finite_differences(function, inputs):
    assert torch.autograd.gradcheck(
        function, [torch.tensor(each, requires_grad=True) for each in inputs], atol=1e-6
    )


def calls(random):
    """A call of each operator, forward and backward, by its name."""
    boxes, scores = (torch.tensor(each) for each in crowd(random, n=12))
    features, offset, mask, weight = (torch.tensor(each) for each in deformable(random))
    value, places, weights = (torch.tensor(each) for each in attention(random))
    rois = torch.tensor([[0, 3.0, 4, 5, 6]]).double()
    logits = torch.randn(3, 3)
    target = torch.tensor([0, 2, 3])

    def step(function, *inputs):
        leaves = [each.detach().clone().requires_grad_() for each in inputs]
        function(*leaves).sum().backward()
        return [each.grad for each in leaves]

    return {
        "nms": lambda: ops.nms(boxes, scores, 0.5, 1),
        "softnms": lambda: ops.soft_nms(boxes, scores, 0.3),
        "roi_align": lambda: step(
            lambda x: ops.roi_align(x, rois, 2, 1.0, 2, "avg", True), features
        ),
        "deform_conv": lambda: step(
            lambda *x: ops.deform_conv2d(*x, 2, 1), features, offset, weight
        ),
        "modulated_deform_conv": lambda: step(
            lambda *x: ops.modulated_deform_conv2d(*x, None, 2, 1), features, offset, mask, weight
        ),
        "sigmoid_focal_loss": lambda: step(
            lambda x: ops.sigmoid_focal_loss(x, target, 2.0, 0.25, None, "mean"), logits
        ),
        "ms_deform_attn": lambda: step(attend, value, places, weights),
    }


@pytest.mark.parametrize("name", calls(np.random.default_rng(12)))
def test_whatever_an_operator_makes_lies_where_its_inputs_lie(name):
    """Where another device is the default one, a tensor made without saying where would go there."""
    call = calls(np.random.default_rng(12))[name]
    expected = call()
    with torch.device("meta"):
        found = call()
    for one, other in zip(found, expected, strict=True):
        assert one.device.type == "cpu"
        torch.testing.assert_close(one, other)


def test_each_operator_is_called_above():
    called = set(calls(np.random.default_rng(12)))
    stems = {
        operator.__name__.split("_forward")[0].split("_backward")[0]
        for operator in mmdet_imports.OPS
    }
    assert stems == called


@pytest.mark.skipif(COMPILED, reason="a compiled mmcv has these operators")
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: ops.nms_rotated(torch.zeros(1, 5), torch.zeros(1), 0.5), "nms_rotated"),
        (
            lambda: ops.roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0, 2, "max"),
            "max",
        ),
    ],
)
def test_other_operators_are_refused_by_name(call, name):
    with pytest.raises(ConfigError, match=rf"{name}.*compiled mmcv"):
        call()


def test_a_compiled_mmcv_is_left_in_charge(tmp_path, monkeypatch):
    (tmp_path / "_ext.py").write_text("nms = 'compiled'\n")
    monkeypatch.setattr(mmcv, "__path__", [str(tmp_path)])
    monkeypatch.setattr(mmcv, "_ext", None, raising=False)  # put back what the import sets
    monkeypatch.delitem(sys.modules, mmdet_imports.EXTENSION_NAME)
    mmdet_imports.install_ops()
    assert importlib.import_module(mmdet_imports.EXTENSION_NAME).nms == "compiled"
    monkeypatch.delitem(sys.modules, mmdet_imports.EXTENSION_NAME)
