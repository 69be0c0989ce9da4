"""The preprocessing of a detector's images: decoded, resized to one size, padded with grey.

Training and inference share these steps, so that both give the network the same kind of input.
With a fixed size the boxes of an image do not depend on the other images of its batch.
"""

from pathlib import Path
from typing import Any

import numpy as np

from galr.io.images import load_rgb
from galr.regions.mmdet_imports import Compose

GREY_PADDING = {"img": (114, 114, 114)}  # as mmdet pads for RTMDet and YOLOX


def inference_pipeline(size: tuple[int, int]) -> Compose:
    """Return the pipeline from the result of `to_mmdet` to the network's input.

    Args:
        size: width and height in pixels that an image is fitted into; its aspect ratio is kept.
    """
    return Compose([*_fit(size), _pack()])


def train_pipeline(size: tuple[int, int], scales: tuple[float, float], *, colours: bool) -> Compose:
    """Return the pipeline that reads and augments an image of a COCO dataset.

    All flips are equally likely, since an aerial image has no upper side.

    Args:
        size: width and height in pixels of the network's input.
        scales: smallest and largest factor of the random resizing; the result is cropped or padded to `size`.
        colours: whether hue, saturation and brightness are varied.
    """
    flips = {"prob": [0.25, 0.25, 0.25], "direction": ["horizontal", "vertical", "diagonal"]}
    steps: list[Any] = [load_image_step, {"type": "LoadAnnotations", "with_bbox": True}]
    if all(scale == 1 for scale in scales):
        steps += _fit(size)
    else:
        crop = {"crop_size": size, "allow_negative_crop": True}  # width first, like the other sizes
        steps += [
            {"type": "RandomResize", "scale": size, "ratio_range": scales, "keep_ratio": True},
            {"type": "RandomCrop", **crop},
            {"type": "Pad", "size": size, "pad_val": GREY_PADDING},
        ]
    if colours:
        steps.append({"type": "YOLOXHSVRandomAug"})
    return Compose([*steps, {"type": "RandomFlip", **flips}, _pack("flip", "flip_direction")])


def load_image_step(item: dict[str, Any]) -> dict[str, Any]:
    """Decode the image at `item["img_path"]`; a step of mmdet's training pipeline."""
    return item | to_mmdet(np.asarray(load_rgb(Path(item["img_path"]))))


def to_mmdet(rgb: np.ndarray) -> dict[str, Any]:
    """Wrap an image in the dictionary that mmdet's pipeline steps take.

    Args:
        rgb: (height, width, 3) uint8, RGB.
    """
    bgr = np.ascontiguousarray(rgb[..., ::-1])  # mmdet's pipelines expect BGR
    return {"img": bgr, "img_shape": bgr.shape[:2], "ori_shape": bgr.shape[:2]}


def _fit(size: tuple[int, int]) -> list[dict[str, Any]]:
    """Return the steps that resize an image to fit into a size and pad the rest."""
    return [
        {"type": "Resize", "scale": size, "keep_ratio": True},
        {"type": "Pad", "size": size, "pad_val": GREY_PADDING},
    ]


def _pack(*more: str) -> dict[str, Any]:
    """Return the step that makes tensors and keeps the metadata that map boxes back to the original image."""
    keys = ("img_id", "ori_shape", "img_shape", "scale_factor", *more)
    return {"type": "PackDetInputs", "meta_keys": keys}
