"""Draw the demo dataset: aerial scenes, their sentences and their boxes.

Planes, ships, courts, tanks, vehicles and buildings stand in eleven landscapes, in rows, in rings,
along piers and roads, around one another. The same flags give the same bytes; a larger dataset
begins with the images of a smaller one. Three images of ten are test.

IN   nothing
OUT  images/0001.png …           RGB, square
     dataset.json                splits and sentences, Karpathy layout
     train_boxes.json            boxes of the training images, COCO layout
     test_boxes.json             boxes of the test images
     The folder appears whole or not at all; one that this stage drew before is replaced.

example: galr draw --images 400 --size 256 --sentences 5 --seed 7 --output resources/demo/files
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from galr.data.scenes.album import coco, draw_page, karpathy
from galr.errors import ConfigError
from galr.io.atomic import atomic_directory, check_output_dir
from galr.options import OptionGroup, option

_OURS = re.compile(r"images(/\d{4,}\.png)?|dataset\.json|(train|test)_boxes\.json")


@dataclass(frozen=True, kw_only=True)
class Flags(OptionGroup):
    """How many images, how large, with how many sentences, and where to."""

    images: int = option("number of images, at least 2", default=400)
    size: int = option("side of an image, pixels, 64 to 2048", default=256)
    sentences: int = option("sentences of an image, 1 to 100", default=5)
    seed: int = option("which scenes to draw, at least 0", default=7)
    output: Path = option("the folder to make")

    def __post_init__(self) -> None:
        """Refuse datasets that cannot be drawn, or not be split."""
        for name, low, high in (
            ("images", 2, 1_000_000),
            ("size", 64, 2048),
            ("sentences", 1, 100),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"drawn.{name} is {low} to {high}, got {getattr(self, name)}")
        if self.seed < 0:
            raise ConfigError(f"drawn.seed is at least 0, got {self.seed}")


def run(flags: Flags) -> None:
    """Draw into a folder that takes its name at the end."""
    check_output_dir(flags.output, _OURS)
    with atomic_directory(flags.output) as folder:
        (folder / "images").mkdir()
        pages = []
        for number in tqdm(range(flags.images), desc="scenes", disable=None):
            picture, page = draw_page(
                flags.seed, number, size=flags.size, sentences=flags.sentences
            )
            Image.fromarray(picture).save(folder / "images" / page.name, compress_level=3)
            pages.append(page)
        _write(folder / "dataset.json", karpathy(pages))
        _write(folder / "train_boxes.json", coco(pages, "train"))
        _write(folder / "test_boxes.json", coco(pages, "test"))


def _write(path: Path, document: dict[str, object]) -> None:
    """Write a JSON document, a key or item a line, so that two of them can be compared."""
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
