"""Draw the synthetic demo dataset: aerial scenes, their sentences and their boxes.

Planes, ships, courts, tanks, vehicles and buildings stand in eleven landscapes, in rows, in rings,
along piers and roads, around one another. The same flags give the same bytes, whatever --threads; a larger dataset
begins with the images of a smaller one. Three images of ten are test images.

IN   nothing
OUT  images/0001.png …           RGB, square
     dataset.json                splits and sentences, Karpathy layout
     train_boxes.json            boxes of the training images, COCO layout
     test_boxes.json             boxes of the test images
     The folder appears whole or not at all; one that this command wrote before is replaced.

example: galr draw --images 400 --size 256 --sentences 5 --seed 7 --output resources/demo/files
"""

import json
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from galr.demo.samples import Sample, render_sample, to_coco, to_karpathy
from galr.errors import ConfigError
from galr.io.atomic import atomic_directory, check_output_dir
from galr.options import OptionGroup, option
from galr.progress import ProgressBar

_OUTPUT_FILES = re.compile(r"images(/\d{4,}\.png)?|dataset\.json|(train|test)_boxes\.json")


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Number and size of the images, number of sentences, seed and output."""

    images: int = option("number of images, at least 2", default=400)
    size: int = option("side of an image, pixels, 64 to 2048", default=256)
    sentences: int = option("sentences per image, 1 to 100", default=5)
    seed: int = option("seed of the scenes, at least 0", default=7)
    threads: int = option("processes that draw", default=1)
    output: Path = option("folder to create")

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, low, high in (
            ("images", 2, 1_000_000),
            ("size", 64, 2048),
            ("sentences", 1, 100),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"synthetic.{name} must be {low} to {high}, got {getattr(self, name)}"
                )
        if self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {self.threads}")
        if self.seed < 0:
            raise ConfigError(f"synthetic.seed must be at least 0, got {self.seed}")


def run(options: Options) -> None:
    """Draw the dataset into a folder."""
    check_output_dir(options.output, _OUTPUT_FILES)
    with atomic_directory(options.output) as folder:
        (folder / "images").mkdir()
        draw = partial(_draw, options, folder / "images")
        with ProcessPoolExecutor(options.threads, get_context("spawn")) as processes:
            drawn = (
                processes.map(draw, range(options.images), chunksize=8)
                if options.threads > 1
                else map(draw, range(options.images))
            )
            bar = ProgressBar(
                drawn, desc="scenes", unit="scene", total=options.images, disable=None
            )
            samples = list(bar)
        _write_json(folder / "dataset.json", to_karpathy(samples))
        _write_json(folder / "train_boxes.json", to_coco(samples, "train"))
        _write_json(folder / "test_boxes.json", to_coco(samples, "test"))


def _draw(options: Options, folder: Path, index: int) -> Sample:
    """Draw one scene into a folder; it follows from the seed and its number, whoever draws it."""
    image, sample = render_sample(
        options.seed, index, size=options.size, sentences=options.sentences
    )
    Image.fromarray(image).save(folder / sample.file_name, compress_level=3)
    return sample


def _write_json(path: Path, document: dict[str, object]) -> None:
    """Write a JSON document, one key or item a line, so that two versions can be compared."""
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
