"""Import the regions of every image from the COCO results of another detector.

COCO results are a JSON list of {image_id, category_id, bbox [x, y, width, height] in pixels, score}. An image_id
is an id in --annotations, or the name or path of an image with or without its suffix. A number that no annotations
list is refused, because it may count the images in another order; where it is a name (7 for 000007.jpg), say
--ids names. A category_id is an id in --annotations, or else the index of a class in --classes, counted from --first-category.
Boxes are clipped to their image. An image without boxes has no rows.

IN   dataset.h5       names and sizes of the images
     results.json     and a COCO document of the images and categories, if the ids are not names
OUT  regions.h5       in the format of `galr regions`

  galr import-regions --dataset dataset.h5 --results yolo.json --classes plane ship --output regions.h5
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from galr.io.coco import IdMeaning
from galr.io.formats import Dataset, Regions
from galr.options import OptionGroup, option
from galr.provenance import code_versions, file_sha256
from galr.regions.region_set import read_coco_results


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The images, the boxes, the meaning of their ids, and the output."""

    dataset: Path = option("dataset.h5")
    results: Path = option("the boxes, COCO results JSON")
    annotations: Path | None = option(
        "a COCO document with the images and categories of the ids; its boxes are ignored",
        default=None,
    )
    ids: IdMeaning = option(
        "what an image_id is: an id of the annotations, the name of an image, or, with auto, either",
        default="auto",
    )
    classes: tuple[str, ...] = option(
        "class names, in the order of the class indices in regions.h5"
    )
    first_category: int = option(
        "the category_id of the first class, if there are no annotations", default=1
    )
    name: str = option("name of the detector, for the provenance", default="coco-results")
    output: Path = option("regions.h5 to write")


def run(options: Options) -> None:
    """Read the images' names and sizes and the boxes, and write the regions."""
    with Dataset.open(options.dataset) as dataset:
        names, files, sizes = dataset.names, dataset.files, dataset.sizes[:]
        dataset_name = dataset.provenance.get("dataset")
    regions = read_coco_results(
        options.results,
        names,
        sizes,
        annotations=options.annotations,
        class_names=options.classes,
        first_category=options.first_category,
        detector=options.name,
        files=files,
        ids=options.ids,
    )
    provenance = regions.provenance | {
        "dataset": dataset_name,
        "dataset_sha256": file_sha256(options.dataset),
        "dropped": regions.num_dropped,
        "versions": code_versions(),
    }
    with Regions.create(options.output, provenance) as file:
        file.write(names=names, class_names=regions.class_names, **vars(regions.detections))
    print(f"{options.name}: {regions.describe()}", file=sys.stderr)
