"""Take the regions of every image from boxes that another tool found.

The tool wrote COCO results: a JSON list of {image_id, category_id, bbox [x, y, width, height] in
pixels, score}. An image_id is an id of the annotations, or an image's name, with or without its suffix.
A category_id is the class of that name in the annotations, or counts the classes from --first-category.
Boxes are clipped to their image; an image without boxes has no rows, and that is fine.

IN   dataset.h5       names and sizes of the images
     results.json     and, where its ids are not names, a COCO document of the images and categories
OUT  regions.h5       as the stage regions writes it

  galr import-regions --dataset dataset.h5 --results yolo.json --classes plane ship --output regions.h5
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from galr.io.formats import Dataset, Regions
from galr.options import OptionGroup, option
from galr.provenance import code_versions, file_sha256
from galr.regions.region_set import read_coco_results


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Which images, whose boxes, and what their ids mean."""

    dataset: Path = option("dataset.h5")
    results: Path = option("the boxes, COCO results JSON")
    annotations: Path | None = option(
        "a COCO document that says what the ids mean; its boxes are not looked at", default=None
    )
    classes: tuple[str, ...] = option("names of the classes, in the order that graphs know them by")
    first_category: int = option(
        "the category_id of the first class, where no annotations say so", default=1
    )
    name: str = option("what to call the tool that found the boxes", default="coco-results")
    output: Path = option("regions.h5 to write")


def run(options: Options) -> None:
    """Read the images' names and the boxes, store regions."""
    with Dataset.open(options.dataset) as dataset:
        names, sizes = dataset.names, dataset.sizes[:]
        title = dataset.provenance.get("dataset")
    found = read_coco_results(
        options.results,
        names,
        sizes,
        annotations=options.annotations,
        class_names=options.classes,
        first_category=options.first_category,
        detector=options.name,
    )
    origin = found.provenance | {
        "dataset": title,
        "dataset_sha256": file_sha256(options.dataset),
        "dropped": found.num_dropped,
        "versions": code_versions(),
    }
    with Regions.create(options.output, origin) as file:
        file.write(names=names, class_names=found.class_names, **vars(found.detections))
    print(f"{options.name}: {found.describe()}", file=sys.stderr)
