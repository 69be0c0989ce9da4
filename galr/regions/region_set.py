"""The regions of many images, read from regions.h5 or from the COCO results of another tool."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.errors import DataError
from galr.graphs.detections import Detections
from galr.io.coco import IdMeaning, read_coco_index, whole_number
from galr.io.coco_results import CocoResults, read_results
from galr.io.formats import Regions
from galr.provenance import file_sha256
from galr.regions.coco_ids import ImageNameMatcher, match_classes, match_images

TEXT_IDS = (
    "; every image_id is a number written as text and was taken for the name of an image; if they are ids, give the"
    " COCO document they come from (annotations)"
)


@dataclass(frozen=True, eq=False)
class RegionSet:
    """The regions of many images, the names of the images and classes, and the provenance.

    Attributes:
        names: names of the images.
        class_names: names of the classes.
        detections: the regions, one image after the other in the order of names.
        provenance: what a file computed from the regions records about them.
        num_dropped: boxes that were left out because they have no area inside their image.
        note: what a reader must know of how the images were found; empty if nothing.
    """

    names: list[str]
    class_names: tuple[str, ...]
    detections: Detections
    provenance: dict[str, Any]
    num_dropped: int
    note: str = ""

    def describe(self) -> str:
        """Describe the set in one line."""
        return (
            f"{len(self.detections.scores)} regions in {len(self.names)} images;"
            f" {self.num_dropped} boxes without area dropped{self.note}"
        )

    def index_of(self, name: str) -> int:
        """Find an image by its name, with or without folders and suffix.

        Raises:
            DataError: no image or more than one has this name.
        """
        index = ImageNameMatcher(self.names).find(name)
        if index is None:
            example = f"their names are like {self.names[0]}" if self.names else "there are none"
            raise DataError(f"no image is called {name}; of {len(self.names)} images {example}")
        return index


def read_regions(path: Path) -> RegionSet:
    """Read regions.h5.

    Raises:
        StoreError: it is missing, damaged, or another kind of file.
    """
    with Regions.open(path) as file:
        recorded = file.provenance
        provenance = {
            "dataset": recorded.get("dataset"),
            "detector": recorded.get("detector"),
            "regions_sha256": file_sha256(path),
        }
        return RegionSet(
            file.names,
            tuple(file.class_names),
            Detections(**file.arrays()),
            provenance,
            num_dropped=0,
        )


def read_coco_results(
    path: Path,
    names: Sequence[str],
    sizes: np.ndarray,
    *,
    annotations: Path | None,
    class_names: Sequence[str],
    first_category: int,
    detector: str,
    files: Sequence[str] = (),
    ids: IdMeaning = "auto",
) -> RegionSet:
    """Read COCO results as the regions of given images; an image without results has no regions.

    Args:
        path: the results, JSON.
        names: names of the images, in order.
        sizes: (images, 2) int32, width and height in pixels.
        annotations: a COCO document that lists the ids of images and categories, or None.
        class_names: the classes in order; if empty, the categories that the annotations or the results have.
        first_category: the category_id of the first class, if there are no annotations.
        detector: a name for the tool that found the boxes.
        files: the images' paths below their folder, or nothing.
        ids: what an image_id is, see `match_images`.

    Raises:
        ConfigError: a class is named twice, or ids of annotations are meant and there are none.
        DataError: a file is missing or damaged, or an id belongs to no image or no class.
    """
    results = read_results(path)
    index = None if annotations is None else read_coco_index(annotations)
    image = match_images(results, names, sizes, index, files=files, ids=ids)
    classes, class_names = match_classes(results, class_names, first_category, index)
    detections, num_dropped = to_detections(results, image, classes, sizes)
    provenance = {
        "detector": {
            "name": detector,
            "results_sha256": file_sha256(path),
            "annotations_sha256": None if annotations is None else file_sha256(annotations),
        }
    }
    as_text = ids == "auto" and index is None and None not in map(whole_number, results.image_ids)
    note = TEXT_IDS if as_text and results.image_ids else ""
    return RegionSet(list(names), class_names, detections, provenance, num_dropped, note)


def to_detections(
    results: CocoResults, image: np.ndarray, classes: np.ndarray, sizes: np.ndarray
) -> tuple[Detections, int]:
    """Clip COCO results to their images and sort them by image and descending score.

    Boxes and scores are rounded to single precision, as regions.h5 stores them; equal scores keep their order.

    Args:
        results: the detections.
        image: (detections,) int, index of the image.
        classes: (detections,) int, index of the class.
        sizes: (images, 2) int, width and height in pixels.

    Returns:
        The detections, and the number of boxes that were dropped because they have no area inside their image.
    """
    limits = np.concatenate([sizes, sizes], axis=1)[image]
    boxes = np.clip(results.boxes, 0, limits).astype(np.float32)
    scores = results.scores.astype(np.float32)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    rows = np.flatnonzero(has_area)
    rows = rows[np.lexsort((-scores[rows], image[rows]))]
    counts = np.bincount(image[rows], minlength=len(sizes))
    detections = Detections(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=boxes[rows],
        scores=scores[rows],
        classes=classes[rows].astype(np.int32),
        sizes=sizes,
    )
    return detections, int((~has_area).sum())
