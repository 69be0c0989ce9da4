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

from galr import store
from galr.errors import ConfigError
from galr.graphs.denoise import SimilarityKind
from galr.graphs.denoise_report import explain_image
from galr.graphs.drea import build_graphs, build_kwargs, feature_names
from galr.graphs.edges import Normalisation, Proximity
from galr.graphs.visualize import draw_graph
from galr.options import OptionGroup, option
from galr.provenance import code_versions
from galr.regions.image_sizes import load_image, read_sizes, scan_sizes, write_png
from galr.regions.region_set import RegionSet, read_coco_results, read_regions


@dataclass(frozen=True, kw_only=True)
class DreaOptions(OptionGroup):
    """The choices of DREA; config section `graphs`."""

    min_score: float = option(
        "regions of a lower score are left out as noise, in [0, 1]", default=0.3
    )
    max_regions: int = option("n, the most regions to keep of an image", default=20)
    similarity: SimilarityKind = option(
        "how alike two regions of one class are; none keeps the first n", default="cosine"
    )
    similarity_threshold: float = option(
        "likeness above which the lower-scored of two regions is dropped; 1 drops none",
        default=0.98,
    )
    proximity: Proximity = option("how near two regions are", default="gaussian")
    bandwidth: float = option("of the Gaussian, relative to the image", default=0.2)
    salience: bool = option("whether edges of prominent regions weigh more", default=True)
    self_loops: bool = option("whether a region keeps some of itself", default=True)
    normalisation: Normalisation = option("of the adjacency", default="symmetric")

    def drea_options(self) -> dict[str, Any]:
        """All of them by name, as graphs.h5 tells its origin."""
        return {each.name: getattr(self, each.name) for each in fields(DreaOptions)}


@dataclass(frozen=True, kw_only=True)
class Options(DreaOptions):
    """What comes in, what goes out, and the choices of DREA."""

    regions: Path | None = option("regions.h5", default=None)
    boxes: Path | None = option("instead: anybody's boxes, COCO results JSON", default=None)
    sizes: Path | None = option(
        "for --boxes: a CSV of image_id,width,height of all images", default=None
    )
    images: Path | None = option(
        "for --boxes, instead of --sizes: the folder of the pictures; for --show: what to draw on",
        default=None,
    )
    annotations: Path | None = option(
        "for --boxes: a COCO document that says what its ids mean", default=None
    )
    classes: tuple[str, ...] = option(
        "for --boxes: names of the classes in order; without, the categories that occur", default=()
    )
    first_category: int = option(
        "for --boxes with --classes: the category_id of the first class", default=1
    )
    show: str | None = option("draw the image of this name instead of writing graphs", default=None)
    output: Path = option("graphs.h5 to write; with --show, a PNG")

    def __post_init__(self) -> None:
        """Refuse flags that would do nothing."""
        if self.boxes is None:
            for flag in ("sizes", "annotations", "classes"):
                if getattr(self, flag):
                    raise ConfigError(f"--{flag} goes with --boxes; regions.h5 says it itself")
            if self.images is not None and self.show is None:
                raise ConfigError("--images goes with --boxes or with --show")


def run(options: Options) -> None:
    """Read regions; write their graphs, or draw one."""
    source = _read_regions(options)
    if options.show is not None:
        write_png(_draw(options, source, options.show), options.output)
        return
    arrays = build_graphs(
        source.detections, len(source.class_names), **build_kwargs(options.drea_options())
    )
    provenance = source.provenance | {
        "settings": options.drea_options(),
        "columns": feature_names(source.class_names),
        "versions": code_versions(),
    }
    with store.writing(options.output, store.GRAPHS, provenance) as file:
        store.write_texts(file, "names", source.names)
        store.write_arrays(file, **vars(arrays))


def _draw(options: Options, source: RegionSet, name_or_id: str) -> Image.Image:
    """Draw the graph of one image on its picture, or on white where there is none."""
    image = source.index_of(name_or_id)
    name, size = source.names[image], source.detections.sizes[image]
    report = explain_image(
        source.detections, image, len(source.class_names), **build_kwargs(options.drea_options())
    )
    return draw_graph(load_image(name, size, options.images), report, source.class_names, name)


def _read_regions(options: Options) -> RegionSet:
    """Read what DREA starts from.

    Raises:
        ConfigError: it is not clear which, or of which size the images are.
    """
    match options.regions, options.boxes:
        case Path() as regions, None:
            return read_regions(regions)
        case None, Path() as boxes:
            names, sizes = _read_sizes(options)
            source = read_coco_results(
                boxes,
                names,
                sizes,
                annotations=options.annotations,
                class_names=options.classes,
                first_category=options.first_category,
                detector=boxes.name,
            )
            print(f"{boxes}: {source.describe()}", file=sys.stderr)
            return source
        case _:
            raise ConfigError("give exactly one of --regions and --boxes")


def _read_sizes(options: Options) -> tuple[list[str], np.ndarray]:
    """Read the names and the sizes of the images that boxes are on.

    Raises:
        ConfigError: it is not clear where from.
    """
    match options.sizes, options.images:
        case Path() as table, None:
            return read_sizes(table)
        case None, Path() as folder:
            return scan_sizes(folder)
        case _:
            raise ConfigError(
                "--boxes needs the images' sizes: exactly one of --sizes and --images"
            )
