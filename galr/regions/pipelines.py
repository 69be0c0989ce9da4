"""How a detector is shown a picture: decoded as everywhere else, fitted into one size, the rest grey.

Training and detection share these steps, so that a detector is used on what it was trained on.
A fixed size makes a picture's boxes independent of the pictures it is batched with.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from galr.errors import DataError
from galr.io.images import load_rgb
from galr.regions.mmdet_imports import Compose

GREY_PADDING = {"img": (114, 114, 114)}  # mmdet's own filling for RTMDet and YOLOX


def load_checked(path: Path, size: Sequence[int]) -> Image.Image:
    """Decode a picture whose width and height (pixels) are known from the dataset.

    Raises:
        DataError: as in `open_rgb`; or it has another size than when the dataset was made.
    """
    image = load_rgb(path)
    if image.size != tuple(size):
        raise DataError(
            f"{path} is {image.size[0]} x {image.size[1]} pixels, and was {size[0]} x {size[1]}"
            " when the dataset was made; delete dataset.h5 and run snakemake again"
        )
    return image


def inference_pipeline(size: tuple[int, int]) -> Compose:
    """Turn what `shown` gives into what the network takes.

    Args:
        size: width and height in pixels that a picture is fitted into, its proportions kept.
    """
    return Compose([*_fit(size), _pack()])


def train_pipeline(size: tuple[int, int], scales: tuple[float, float], *, colours: bool) -> Compose:
    """Read and vary an image of a COCO dataset; from above no side is up, so all flips are as likely.

    Args:
        size: width and height in pixels of what the network sees.
        scales: an image is enlarged by a random factor between these two, then cropped to `size`.
        colours: whether hue, saturation and brightness vary, as other cameras see them.
    """
    flips = {"prob": [0.25, 0.25, 0.25], "direction": ["horizontal", "vertical", "diagonal"]}
    steps: list[Any] = [load_image_step, {"type": "LoadAnnotations", "with_bbox": True}]
    if all(scale == 1 for scale in scales):
        steps += _fit(size)
    else:
        crop = {"crop_size": size, "allow_negative_crop": True}  # width first, as for the others
        steps += [
            {"type": "RandomResize", "scale": size, "ratio_range": scales, "keep_ratio": True},
            {"type": "RandomCrop", **crop},
            {"type": "Pad", "size": size, "pad_val": GREY_PADDING},
        ]
    if colours:
        steps.append({"type": "YOLOXHSVRandomAug"})
    return Compose([*steps, {"type": "RandomFlip", **flips}, _pack("flip", "flip_direction")])


def load_image_step(item: dict[str, Any]) -> dict[str, Any]:
    """Decode the image that a COCO dataset names (a step of mmdet's training pipeline)."""
    return item | to_mmdet(np.asarray(load_rgb(Path(item["img_path"]))))


def to_mmdet(rgb: np.ndarray) -> dict[str, Any]:
    """Put an (height, width, 3) uint8 RGB array in the form in which mmdet's steps take pictures."""
    bgr = np.ascontiguousarray(rgb[..., ::-1])  # mmdet's networks name their channels from BGR
    return {"img": bgr, "img_shape": bgr.shape[:2], "ori_shape": bgr.shape[:2]}


def _fit(size: tuple[int, int]) -> list[dict[str, Any]]:
    """Enlarge or shrink a picture to just fit into a size, and fill the rest."""
    return [
        {"type": "Resize", "scale": size, "keep_ratio": True},
        {"type": "Pad", "size": size, "pad_val": GREY_PADDING},
    ]


def _pack(*more: str) -> dict[str, Any]:
    """Make tensors, and keep what leads a box back to the original picture."""
    keys = ("img_id", "ori_shape", "img_shape", "scale_factor", *more)
    return {"type": "PackDetInputs", "meta_keys": keys}
