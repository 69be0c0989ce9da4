"""What DREA starts from: the regions of our own file, or anybody's ready boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr import store
from galr.errors import DataError
from galr.graphs.detections import Detections
from galr.provenance import file_sha256
from galr.regions.ids import Names, classes_of, images_of, read_annotations
from galr.regions.results import as_regions, read_results


@dataclass(frozen=True, eq=False)
class Source:
    """The regions of many images, what they are called, and where they came from.

    Attributes:
        names: (images,) names.
        class_names: (classes,) names.
        regions: the detections, image after image in the order of names.
        origin: what a file made of them says of their making.
        dropped: boxes that were left out because inside their image they have no area.
    """

    names: list[str]
    class_names: tuple[str, ...]
    regions: Detections
    origin: dict[str, Any]
    dropped: int

    def summary(self) -> str:
        """Say in a line what was read."""
        return (
            f"{len(self.regions.scores)} regions in {len(self.names)} images;"
            f" {self.dropped} boxes of no area dropped"
        )

    def place_of(self, name: str) -> int:
        """Find an image by its name, with or without folders and suffix.

        Raises:
            DataError: there is none, or more than one.
        """
        place = Names(self.names).find(name)
        if place is None:
            called = f"they are called like {self.names[0]}" if self.names else "there are none"
            raise DataError(f"no image is called {name}; of {len(self.names)} images {called}")
        return place


def from_regions(path: Path) -> Source:
    """Read regions.h5.

    Raises:
        StoreError: it is missing, damaged, or something else.
    """
    with store.reading(path, store.REGIONS) as file:
        tables = ("offsets", "boxes", "scores", "classes", "sizes")
        said = store.provenance(file)
        origin = {
            "dataset": said.get("dataset"),
            "detector": said.get("detector"),
            "regions_sha256": file_sha256(path),
        }
        return Source(
            store.texts(file["names"]),
            tuple(store.texts(file["class_names"])),
            Detections(**{table: file[table][:] for table in tables}),
            origin,
            dropped=0,
        )


def from_results(
    path: Path,
    names: Sequence[str],
    sizes: np.ndarray,
    *,
    annotations: Path | None,
    class_names: Sequence[str],
    first_category: int,
    detector: str,
) -> Source:
    """Read COCO results as regions of given images; images without a result have none.

    Args:
        path: the results, JSON.
        names: of the images, in order, without suffix.
        sizes: (images, 2) int32, width and height in pixels.
        annotations: a COCO document that says what the ids mean.
        class_names: the classes in order; empty takes those that the results and annotations have.
        first_category: the category_id of the first class, where no annotations say so.
        detector: what to call whatever found the boxes.

    Raises:
        ConfigError: a class is named twice.
        DataError: a file is missing or damaged, or an id is no image's or no class's.
    """
    results = read_results(path)
    known = None if annotations is None else read_annotations(annotations)
    image = images_of(results, names, sizes, known)
    label, classes = classes_of(results, class_names, first_category, known)
    regions, dropped = as_regions(results, image, label, sizes)
    origin = {
        "detector": {
            "name": detector,
            "results_sha256": file_sha256(path),
            "annotations_sha256": None if annotations is None else file_sha256(annotations),
        }
    }
    return Source(list(names), classes, regions, origin, dropped)
