from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from galr.io.images import load_rgb
from galr.regions.mmdet_imports import set_random_seed
from galr.regions.pipelines import inference_pipeline, to_mmdet, train_pipeline

BOX = (30, 20, 70, 36)  # x1 y1 x2 y2 of a white bar in a black picture


@pytest.fixture
def item(tmp_path):
    """What mmdet's COCO dataset says of a picture of 120 x 80 pixels with one white bar."""
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    Image.fromarray(pixels).save(tmp_path / "bar.png")
    instance = {"bbox": list(BOX), "bbox_label": 0, "ignore_flag": 0}
    return {
        "img_path": str(tmp_path / "bar.png"),
        "img_id": 0,
        "height": 80,
        "width": 120,
        "instances": [instance],
    }


def seen(fit, item):
    """One draw of a training pipeline: the picture (3, height, width) and its boxes."""
    packed = fit(dict(item))
    return packed["inputs"], packed["data_samples"].gt_instances.bboxes.tensor.round().int()


@pytest.mark.parametrize("scales", [(1, 1), (0.6, 2.5)])
def test_boxes_follow_the_picture_through_every_augmentation(item, scales):
    set_random_seed(0)
    fit = train_pipeline((96, 64), scales, colours=False)
    places = set()
    for _ in range(40):
        picture, boxes = seen(fit, item)
        assert picture.shape == (3, 64, 96)
        white = picture[0] > 128
        if not len(boxes):  # the crop missed it, or left a sliver
            assert white.sum() < 100
            continue
        ((x1, y1, x2, y2),) = boxes.tolist()
        places.add((x1, y1, x2, y2))
        inside = torch.zeros_like(white)
        inside[y1:y2, x1:x2] = True
        inner = torch.zeros_like(white)
        inner[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] = True
        assert white[inner].all()
        assert white[~inside].float().mean() < 0.02
    assert len(places) == 4 if scales == (1, 1) else len(places) > 20


def test_training_and_detection_are_shown_the_same_picture(item):
    set_random_seed(1)
    pixels = np.asarray(load_rgb(Path(item["img_path"])))
    detected = inference_pipeline((96, 64))(to_mmdet(pixels))["inputs"]
    turned = [detected, detected.flip(1), detected.flip(2), detected.flip(1, 2)]
    fit = train_pipeline((96, 64), (1, 1), colours=False)
    for _ in range(8):
        picture, _ = seen(fit, item)
        assert any(torch.equal(picture, each) for each in turned)


def test_colours_vary_where_asked_and_boxes_stay(item):
    set_random_seed(2)
    plain, varied = (train_pipeline((96, 64), (1, 1), colours=colours) for colours in (False, True))
    grey = {tuple(seen(plain, item)[0].unique().tolist()) for _ in range(8)}
    assert len(grey) == 1
    seen_varied = [seen(varied, item) for _ in range(20)]
    assert len({tuple(picture.unique().tolist()) for picture, _ in seen_varied}) > 5
    areas = {((x2 - x1) * (y2 - y1)).item() for _, boxes in seen_varied for x1, y1, x2, y2 in boxes}
    assert max(areas) - min(areas) <= 60  # rounding of the same box, however it is flipped


def test_colours_reach_the_network_in_its_order(tmp_path):
    Image.new("RGB", (40, 40), (250, 120, 10)).save(tmp_path / "orange.png")
    pixels = np.asarray(load_rgb(tmp_path / "orange.png"))
    blue, green, red = inference_pipeline((32, 32))(to_mmdet(pixels))["inputs"][:, 16, 16].tolist()
    assert (red, green, blue) == (250, 120, 10)
