"""mmdet's common detectors, narrow, on the operators that the package provides."""

from functools import partial
from itertools import groupby

import numpy as np
import pytest
import torch
from PIL import Image

from galr.regions import network
from galr.regions.detect import SliceDetections, detect, merge_slices, slice_image
from galr.regions.detector_spec import InferenceConfig, SliceConfig, read_network_spec
from galr.regions.mmdet_imports import set_random_seed, suppress_output
from galr.regions.pipelines import inference_pipeline, to_mmdet, train_pipeline

HOW = InferenceConfig((72, 72), 4, 0.0, 0.5, 30, agnostic_overlap=0.8, slices=SliceConfig(72, 0.2))
RESNET = {"depth": 18, "base_channels": 8, "stem_channels": 8, "frozen_stages": -1}
RESNET |= {"init_cfg": None, "zero_init_residual": False}  # nought stops every gradient
FPN = {"in_channels": [8, 16, 32, 64], "out_channels": 16}
DENSE = {"in_channels": 16, "feat_channels": 16}  # narrow heads
ALL_BOXES = {
    "score_thr": 0.0,
    "nms_pre": 50,
}  # however little a network that learnt nothing gives them
BOX_HEAD = {"in_channels": 16, "fc_out_channels": 16}
TWO_STAGES = {
    "backbone": RESNET,
    "neck": FPN,
    "rpn_head": DENSE,
    "test_cfg": {"rpn": {"nms_pre": 50, "max_per_img": 50}, "rcnn": {"score_thr": 0.0}},
}
EXTRACTOR = {"bbox_roi_extractor": {"out_channels": 16}}
NARROW = {"ffn_cfg": {"feedforward_channels": 32}}
DETECTORS = {
    "rtmdet/rtmdet_tiny_8xb32-300e_coco.py": {
        "data_preprocessor": {"pad_size_divisor": 32},
        "backbone": {"init_cfg": None, "widen_factor": 0.125},
        "neck": {"in_channels": [32, 64, 128], "out_channels": 16},
        "bbox_head": DENSE | {"exp_on_reg": True},  # else its first boxes have no area
        "test_cfg": ALL_BOXES,
    },
    "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py": {
        "backbone": RESNET,
        "neck": FPN,
        "bbox_head": DENSE | {"norm_cfg": {"type": "GN", "num_groups": 4}},
        "test_cfg": ALL_BOXES,
    },
    "yolox/yolox_tiny_8xb8-300e_coco.py": {
        "data_preprocessor": {"batch_augments": None},  # it resizes by what mmdet's Runner counts
        "backbone": {"widen_factor": 0.125},
        "neck": {"in_channels": [32, 64, 128], "out_channels": 16},
        "bbox_head": DENSE,
        "test_cfg": {"score_thr": 0.0},
    },
    "retinanet/retinanet_r50_fpn_1x_coco.py": {
        "backbone": RESNET,
        "neck": FPN,
        "bbox_head": DENSE,
        "test_cfg": ALL_BOXES,
    },
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py": TWO_STAGES
    | {"roi_head": EXTRACTOR | {"bbox_head": BOX_HEAD}},
    "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py": TWO_STAGES
    | {"roi_head": EXTRACTOR | {"bbox_head": {str(stage): BOX_HEAD for stage in range(3)}}},
    "dino/dino-4scale_r50_8xb2-12e_coco.py": {  # its decoder works with a width of 256 only
        "num_queries": 20,
        "backbone": RESNET,
        "neck": {"in_channels": [16, 32, 64]},
        "encoder": {"num_layers": 1, "layer_cfg": NARROW},
        "decoder": {"num_layers": 2, "layer_cfg": NARROW},
        "dn_cfg": {"group_cfg": {"num_dn_queries": 10}},
        "test_cfg": {"max_per_img": 20},
    },
}


@pytest.fixture(params=DETECTORS, ids=lambda base: base.split("/")[0])
def model(request, detector_file):
    """One of the seven, random, on the CPU."""
    set_random_seed(0)
    overrides = DETECTORS[request.param]
    detector = read_network_spec(
        detector_file(model__config=request.param, model__overrides=overrides)
    )
    found = network.build_network(detector)
    network.init_weights(found)
    return network.to_device(found, torch.device("cpu"))


@pytest.fixture
def pictures():
    """Small, large and oblong ones."""
    random = np.random.default_rng(0)
    sizes = [(72, 72), (40, 64), (150, 100), (72, 30), (64, 64)]
    return [
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        for width, height in sizes
    ]


def plainly(model, pictures, how):
    """Say the extraction out loud: slice by slice into mmdet's own pipeline, no thread, no stacking."""
    model.eval()
    fit = inference_pipeline(how.input)
    slices = [
        each for i, picture in enumerate(pictures) for each in slice_image(i, picture, how.slices)
    ]
    seen = []
    for start in range(0, len(slices), how.batch):
        items = [fit(to_mmdet(each.pixels)) for each in slices[start : start + how.batch]]
        batch = {key: [item[key] for item in items] for key in ("inputs", "data_samples")}
        with suppress_output(), torch.inference_mode():
            found = [sample.pred_instances for sample in model.test_step(batch)]
        seen += [SliceDetections(each.bboxes, each.scores, each.labels) for each in found]
    for _, parts in groupby(zip(slices, seen, strict=True), key=lambda pair: pair[0].image_index):
        yield merge_slices(
            list(parts),
            min_score=how.score,
            max_iou=how.overlap,
            max_iou_across_classes=how.agnostic_overlap,
            max_regions=how.regions,
        )


@pytest.mark.parametrize(("threads", "spare"), [(1, False), (3, True)])
def test_threads_and_stacking_change_no_bit(model, pictures, monkeypatch, threads, spare):
    monkeypatch.setattr("galr.regions.detect.has_spare_core", lambda model: spare)
    expected = list(plainly(model, pictures, HOW))
    assert all(len(each.scores) > 3 for each in expected)
    opened = [partial(Image.Image.copy, picture) for picture in pictures]
    for fast, slow in zip(detect(model, opened, HOW, threads=threads), expected, strict=True):
        np.testing.assert_array_equal(fast.boxes, slow.boxes)
        np.testing.assert_array_equal(fast.scores, slow.scores)
        np.testing.assert_array_equal(fast.classes, slow.classes)
        assert fast.dropped == slow.dropped


def test_a_training_step_reaches_the_whole_backbone(model, scenes, tmp_path):
    document = scenes(tmp_path, images=2)
    fit = train_pipeline((64, 64), (1, 1), colours=False)
    items = [fit(item_of(document, tmp_path, place)) for place in range(2)]
    batch = {key: [item[key] for item in items] for key in ("inputs", "data_samples")}
    model.train()
    with suppress_output():
        loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, True), mode="loss"))
    assert torch.isfinite(loss)
    assert loss > 0
    loss.backward()
    gradients = {
        name: parameter.grad
        for name, parameter in model.backbone.named_parameters()
        if parameter.requires_grad and parameter.ndim == 4
    }
    assert len(gradients) > 10
    for name, gradient in gradients.items():
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
        assert gradient.any(), name


def item_of(document, folder, place):
    """What mmdet's COCO dataset says of an image."""
    image = document["images"][place]
    boxes = [each for each in document["annotations"] if each["image_id"] == image["id"]]
    instances = [
        {"bbox": [x, y, x + w, y + h], "bbox_label": label, "ignore_flag": 0}
        for label, (x, y, w, h) in enumerate(each["bbox"] for each in boxes)
    ]
    return {
        "img_path": str(folder / "images" / image["file_name"]),
        "img_id": image["id"],
        "height": image["height"],
        "width": image["width"],
        "instances": instances,
    }
