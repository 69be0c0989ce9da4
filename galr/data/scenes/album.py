"""The scenes of one dataset, by number, and the documents that describe them.

An image depends on the seed, its number and the size alone: a larger dataset begins with the
smaller one's images, and other sentences leave the pictures as they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from galr.data.scenes.grammar import sentences_of
from galr.data.scenes.picture import picture_of
from galr.data.scenes.scene import KINDS, Scene
from galr.data.scenes.words import tokens_of
from galr.data.scenes.world import compose

_TEST = (1, 4, 7)  # last digits of the numbers, from 0, of test images: 30 of 100
_COMPOSE, _PAINT, _SPEAK = range(3)  # what a stream of random numbers is for

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; the last two exclusive


@dataclass(frozen=True)
class Page:
    """What is written down about one image.

    Attributes:
        number: from 0.
        size: side of the image, pixels.
        kinds: of every object, one of `KINDS`.
        boxes: of every object.
        sentences: about the image.
    """

    number: int
    size: int
    kinds: tuple[str, ...]
    boxes: tuple[Box, ...]
    sentences: tuple[str, ...]

    @property
    def name(self) -> str:
        """File name: the number from 1, four digits at least."""
        return f"{self.number + 1:04d}.png"

    @property
    def split(self) -> str:
        """`train` or `test`, by the number alone."""
        return "test" if self.number % 10 in _TEST else "train"


def scene_of(seed: int, number: int) -> Scene:
    """The scene that a seed has under a number."""
    return compose(_stream(seed, number, _COMPOSE))


def draw_page(seed: int, number: int, *, size: int, sentences: int) -> tuple[np.ndarray, Page]:
    """Draw one image and write down what is on it.

    Args:
        seed: of the dataset, at least 0.
        number: of the image, from 0.
        size: side of the image, pixels, at least 64.
        sentences: how many.

    Returns:
        The picture, (size, size, 3) uint8 RGB, and its page.
    """
    scene = scene_of(seed, number)
    picture, boxes = picture_of(scene, size, _stream(seed, number, _PAINT))
    said = sentences_of(scene, sentences, _stream(seed, number, _SPEAK))
    kinds = tuple(thing.kind for thing in scene.things)
    return picture, Page(number, size, kinds, tuple(boxes), tuple(said))


def karpathy(pages: Iterable[Page]) -> dict[str, Any]:
    """Images, splits and sentences in the Karpathy layout."""
    return {
        "dataset": "demo",
        "images": [
            {
                "filename": page.name,
                "split": page.split,
                "sentences": [{"raw": raw, "tokens": tokens_of(raw)} for raw in page.sentences],
            }
            for page in pages
        ],
    }


def coco(pages: Iterable[Page], split: str) -> dict[str, Any]:
    """The boxes of one split's images in the COCO layout; class ids count from 1 as in `KINDS`."""
    shown = [page for page in pages if page.split == split]
    boxes = [
        (page.number + 1, KINDS.index(kind) + 1, box)
        for page in shown
        for kind, box in zip(page.kinds, page.boxes, strict=True)
    ]
    return {
        "images": [
            {
                "id": page.number + 1,
                "file_name": page.name,
                "width": page.size,
                "height": page.size,
            }
            for page in shown
        ],
        "categories": [{"id": number, "name": kind} for number, kind in enumerate(KINDS, start=1)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
            }
            for number, (image, category, (left, top, right, bottom)) in enumerate(boxes, start=1)
        ],
    }


def _stream(seed: int, number: int, purpose: int) -> np.random.Generator:
    """Random numbers of one image for one purpose."""
    return np.random.default_rng([seed, number, purpose])
