"""Cut a DOTA folder into slices, with horizontal boxes in COCO form, to train a detector on.

Training slices without a box to learn are left out; held-out ones are kept, for false alarms count.
Objects too much of which lies outside a slice stay as crowd, and difficult ones do on held-out slices: AP
counts neither finding nor missing them.
AP of slices is not the benchmark's own AP, which is of whole images with hidden labels.
One image is in memory at a time. Slices are PNG, without loss.

IN   train/images/P0000.png, train/labelTxt/P0000.txt, and val/ likewise
OUT  images/{train,val}/P0000_x_y.png …
     train_boxes.json, val_boxes.json        COCO layout, file names below images/
     The folder appears whole or not at all; one that this stage made before is replaced.

example: galr cut-dota --folder DOTA --classes plane ship --output resources/detectors/dota/files
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
from galr.options import OptionGroup, option
from galr.progress import ProgressBar
from galr.regions import dota

_OWN_FILES = re.compile(r"images(/(train|val)(/.+_\d+_\d+\.png)?)?|(train|val)_boxes\.json")
_PNG_LEVEL = (
    1  # of PNG's levels 1 to 9; the default, 6, takes three times as long and saves nothing
)


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Which folder is cut, how, and where to."""

    folder: Path = option("the DOTA folder, with train and val below")
    classes: tuple[str, ...] = option("the detector's classes; objects of others are left out")
    size: int = option("side of a slice, pixels", default=1024)
    overlap: float = option("least share of the side that neighbours share", default=0.2)
    visible: float = option("least share of a box in a slice to be learnt there", default=0.7)
    output: Path = option("the folder to make")

    def __post_init__(self) -> None:
        """Refuse what cuts nothing, or endlessly."""
        if self.size < 32:
            raise ConfigError(f"dota.size is at least 32 pixels, got {self.size}")
        if not 0 <= self.overlap <= 0.9:
            raise ConfigError(f"dota.overlap is a share in [0, 0.9], got {self.overlap}")
        if not 0 < self.visible <= 1:
            raise ConfigError(f"dota.visible is a share in (0, 1], got {self.visible}")


def run(options: Options) -> None:
    """Read all labels, then cut into a folder that takes its name at the end."""
    check_output_dir(options.output, _OWN_FILES)
    scenes = {
        split: dota.read_images(options.folder, split)
        for split in (dota.TRAIN_SPLIT, dota.VAL_SPLIT)
    }
    dota.check_classes(scenes[dota.TRAIN_SPLIT], options.classes, options.folder)
    told = []
    with atomic_directory(options.output) as folder:
        for split, own in scenes.items():
            boxes, left_out = _tile_split(options, split, own, folder / "images")
            document = json.dumps(boxes.to_document())
            (folder / f"{split}_boxes.json").write_text(document, encoding="utf-8")
            told.append(dota.describe_split(split, len(own), boxes, left_out))
    print(f"{options.output}: {'; '.join(told)}", file=sys.stderr)


def _tile_split(
    options: Options, split: str, scenes: Sequence[dota.DotaImage], images: Path
) -> tuple[CocoDataset, Counter[str]]:
    """Write a split's slices; give their boxes, and how many of what were left out."""
    (images / split).mkdir(parents=True)
    sheet: list[tuple[str, dota.DotaTile]] = []
    left_out = dota.count_other_classes(scenes, options.classes)
    for scene in ProgressBar(scenes, desc=split, unit="image", disable=None):
        with dota.open_image(scene.image) as picture:
            left_out["outside their image"] += dota.count_outside(scene.labels, picture.size)
            for piece in dota.tile_image(
                scene.labels,
                picture.size,
                options.classes,
                tile_size=options.size,
                overlap=options.overlap,
                min_visible=options.visible,
                ignore_difficult=split == dota.VAL_SPLIT,
            ):
                if split == dota.TRAIN_SPLIT and not piece.has_objects:
                    left_out["slices without a box to learn"] += 1
                    continue
                name = f"{split}/{piece.file_name(scene.image)}"
                shown = dota.crop_rgb(picture, piece.window, scene.image)
                shown.save(images / name, compress_level=_PNG_LEVEL)
                sheet.append((name, piece))
    return dota.to_coco(sheet, options.classes), left_out
