"""DREA: turn the regions of every image into a representation and an adjacency matrix.

The best regions of an image that do not repeat each other become the n rows of its representation:
class one-hot, score, centre and size relative to the image. Edges weigh how near two regions are,
more so where they are prominent.

IN   regions.h5, or anybody's boxes: COCO results with the images' sizes
OUT  graphs.h5      representation (images, n, d), adjacency (images, n, n), mask (images, n); which
                    regions were kept, and how many were redundant
     or with --show a PNG of one image: what was kept, what was dropped and why, and the edges

  galr graphs --regions regions.h5 --output graphs.h5
  galr graphs --boxes results.json --sizes sizes.csv --output graphs.h5
  galr graphs --boxes results.json --images pictures --show P0001 --output P0001.png

sizes.csv has the columns image_id,width,height (pixels). The graphs are those of all its images, or of
all pictures in the folder, in order of name. An image_id of the results is such a name, with or without
suffix, or an id of the COCO document --annotations.
"""

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from galr import store, versions
from galr.errors import ConfigError
from galr.graph.adjacency import Closeness, Normalisation
from galr.graph.denoise import Measure
from galr.graph.drawing import draw
from galr.graph.drea import arguments, columns, graphs
from galr.graph.fates import outcome
from galr.regions.images import picture_of, sizes_below, sizes_in, write_png
from galr.regions.source import Source, from_regions, from_results
from galr.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class DreaSettings(Settings):
    """The choices of DREA; config section `graphs`."""

    least_score: float = setting(
        "regions of a lower score are left out as noise, in [0, 1]", default=0.3
    )
    most: int = setting("n, the most regions to keep of an image", default=20)
    measure: Measure = setting(
        "how alike two regions of one class are; none keeps the first n", default="cosine"
    )
    redundant: float = setting(
        "likeness above which the lower-scored of two regions is dropped; 1 drops none",
        default=0.98,
    )
    closeness: Closeness = setting("how near two regions are", default="gaussian")
    bandwidth: float = setting("of the Gaussian, relative to the image", default=0.2)
    salience: bool = setting("whether edges of prominent regions weigh more", default=True)
    self_loops: bool = setting("whether a region keeps some of itself", default=True)
    normalisation: Normalisation = setting("of the adjacency", default="symmetric")

    def choices(self) -> dict[str, Any]:
        """All of them by name, as graphs.h5 tells its origin."""
        return {each.name: getattr(self, each.name) for each in fields(DreaSettings)}


@dataclass(frozen=True, kw_only=True)
class Flags(DreaSettings):
    """What comes in, what goes out, and the choices of DREA."""

    regions: Path | None = setting("regions.h5", default=None)
    boxes: Path | None = setting("instead: anybody's boxes, COCO results JSON", default=None)
    sizes: Path | None = setting(
        "for --boxes: a CSV of image_id,width,height of all images", default=None
    )
    images: Path | None = setting(
        "for --boxes, instead of --sizes: the folder of the pictures; for --show: what to draw on",
        default=None,
    )
    annotations: Path | None = setting(
        "for --boxes: a COCO document that says what its ids mean", default=None
    )
    classes: tuple[str, ...] = setting(
        "for --boxes: names of the classes in order; without, the categories that occur", default=()
    )
    first_category: int = setting(
        "for --boxes with --classes: the category_id of the first class", default=1
    )
    show: str | None = setting(
        "draw the image of this name instead of writing graphs", default=None
    )
    output: Path = setting("graphs.h5 to write; with --show, a PNG")

    def __post_init__(self) -> None:
        """Refuse flags that would do nothing."""
        if self.boxes is None:
            for flag in ("sizes", "annotations", "classes"):
                if getattr(self, flag):
                    raise ConfigError(f"--{flag} goes with --boxes; regions.h5 says it itself")
            if self.images is not None and self.show is None:
                raise ConfigError("--images goes with --boxes or with --show")


def run(flags: Flags) -> None:
    """Read regions; write their graphs, or draw one."""
    source = _source(flags)
    if flags.show is not None:
        write_png(_drawn(flags, source, flags.show), flags.output)
        return
    made = graphs(source.regions, len(source.class_names), **arguments(flags.choices()))
    origin = source.origin | {
        "settings": flags.choices(),
        "columns": columns(source.class_names),
        "versions": versions.code(),
    }
    with store.writing(flags.output, store.GRAPHS, origin) as file:
        store.write_texts(file, "names", source.names)
        store.write_arrays(file, **vars(made))


def _drawn(flags: Flags, source: Source, said: str) -> Image.Image:
    """Draw the graph of one image on its picture, or on white where there is none."""
    image = source.place_of(said)
    name, size = source.names[image], source.regions.sizes[image]
    found = outcome(source.regions, image, len(source.class_names), **arguments(flags.choices()))
    return draw(picture_of(name, size, flags.images), found, source.class_names, name)


def _source(flags: Flags) -> Source:
    """Read what DREA starts from.

    Raises:
        ConfigError: it is not clear which, or of which size the images are.
    """
    match flags.regions, flags.boxes:
        case Path() as regions, None:
            return from_regions(regions)
        case None, Path() as boxes:
            names, sizes = _sizes(flags)
            source = from_results(
                boxes,
                names,
                sizes,
                annotations=flags.annotations,
                class_names=flags.classes,
                first_category=flags.first_category,
                detector=boxes.name,
            )
            print(f"{boxes}: {source.summary()}", file=sys.stderr)
            return source
        case _:
            raise ConfigError("give exactly one of --regions and --boxes")


def _sizes(flags: Flags) -> tuple[list[str], np.ndarray]:
    """Read the names and the sizes of the images that boxes are on.

    Raises:
        ConfigError: it is not clear where from.
    """
    match flags.sizes, flags.images:
        case Path() as table, None:
            return sizes_in(table)
        case None, Path() as folder:
            return sizes_below(folder)
        case _:
            raise ConfigError(
                "--boxes needs the images' sizes: exactly one of --sizes and --images"
            )
