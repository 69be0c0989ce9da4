"""Cut a DOTA folder into tiles with upright boxes in COCO form, to train a detector on.

Training tiles without an object to train on are left out. Validation tiles without objects are kept, since
detections in them are false positives. Objects of which too little lies in a tile become crowd, as do
difficult objects in validation tiles: AP counts neither their detection nor their miss.
AP on tiles is not the AP of the DOTA benchmark, which is measured on whole images with hidden labels.
One image is in memory at a time. Tiles are written as PNG.

IN   train/images/P0000.png, train/labelTxt/P0000.txt, and val/ likewise
OUT  images/{train,val}/P0000_x_y.png …
     train_boxes.json, val_boxes.json        COCO, file names relative to images/
     The folder is complete or absent; an earlier output of this command is replaced.

example: galr tile-dota --folder DOTA --classes plane ship --output resources/detectors/dota/files
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from galr.errors import ConfigError
from galr.io.atomic import atomic_directory, check_output_dir
from galr.io.coco import CocoDataset
from galr.io.images import open_image
from galr.io.pixel_values import ReadingSummary
from galr.io.windows import Window
from galr.options import OptionGroup, option
from galr.progress import ProgressBar
from galr.regions import dota

_OWN_FILES = re.compile(r"images(/(train|val)(/.+_\d+_\d+\.png)?)?|(train|val)_boxes\.json")
_PNG_LEVEL = 1  # of 1 to 9; the default, 6, takes three times as long and saves no space


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The DOTA folder, the tiling and the output."""

    folder: Path = option("the DOTA folder, with the folders train and val")
    classes: tuple[str, ...] = option(
        "the detector's classes; objects of other classes are left out"
    )
    size: int = option("side of a tile, pixels", default=1024)
    overlap: float = option("smallest fraction of a tile's side that neighbours share", default=0.2)
    visible: float = option(
        "smallest fraction of a box's area in a tile to train on it there", default=0.7
    )
    output: Path = option("the folder to write")

    def __post_init__(self) -> None:
        """Check the values."""
        if self.size < 32:
            raise ConfigError(f"dota.size must be at least 32 pixels, got {self.size}")
        if not 0 <= self.overlap <= 0.9:
            raise ConfigError(f"dota.overlap must be in [0, 0.9], got {self.overlap}")
        if not 0 < self.visible <= 1:
            raise ConfigError(f"dota.visible must be in (0, 1], got {self.visible}")


def run(options: Options) -> None:
    """Read all labels, then write the tiles and their boxes."""
    check_output_dir(options.output, _OWN_FILES)
    splits = {
        split: dota.read_images(options.folder, split)
        for split in (dota.TRAIN_SPLIT, dota.VAL_SPLIT)
    }
    dota.check_classes(splits[dota.TRAIN_SPLIT], options.classes, options.folder)
    descriptions = []
    readings = ReadingSummary()
    with atomic_directory(options.output) as folder:
        for split, images in splits.items():
            boxes, left_out = _tile_split(options, split, images, folder / "images", readings)
            document = json.dumps(boxes.to_document())
            (folder / f"{split}_boxes.json").write_text(document, encoding="utf-8")
            descriptions.append(dota.describe_split(split, len(images), boxes, left_out))
    for line in readings.lines():
        print(f"{options.output}: {line}", file=sys.stderr)
    print(f"{options.output}: {'; '.join(descriptions)}", file=sys.stderr)


def _tile_split(
    options: Options,
    split: str,
    images: Sequence[dota.DotaImage],
    output_dir: Path,
    readings: ReadingSummary,
) -> tuple[CocoDataset, Counter[str]]:
    """Write the tiles of a split, and count in `readings` what its images are read as.

    Returns:
        The tiles' boxes, and the number of things left out, by description.
    """
    (output_dir / split).mkdir(parents=True)
    tiles: list[tuple[str, dota.DotaTile]] = []
    left_out = dota.count_other_classes(images, options.classes)
    for entry in ProgressBar(images, desc=split, unit="image", disable=None):
        with open_image(entry.image) as image:
            readings.add(image.reading)
            left_out["outside their image"] += dota.count_outside(entry.labels, image.size)
            for tile in dota.tile_image(
                entry.labels,
                image.size,
                options.classes,
                tile_size=options.size,
                overlap=options.overlap,
                min_visible=options.visible,
                ignore_difficult=split == dota.VAL_SPLIT,
            ):
                if split == dota.TRAIN_SPLIT and not tile.has_objects:
                    left_out["tiles without an object to train on"] += 1
                    continue
                name = f"{split}/{tile.file_name(entry.image)}"
                left, top, right, bottom = tile.window
                pixels = image.read(Window(left, top, right - left, bottom - top))
                pixels.save(output_dir / name, compress_level=_PNG_LEVEL)
                tiles.append((name, tile))
    return dota.to_coco(tiles, options.classes), left_out
