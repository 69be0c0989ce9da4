"""DREA: turn the regions of every image into a representation and an adjacency matrix.

IN   regions.h5
OUT  graphs.h5      representation (images, n, d), adjacency (images, n, n), mask (images, n); which
                    regions were kept, and how many were redundant

The best regions of an image that do not repeat each other become the n rows of its representation:
class one-hot, score, centre and size relative to the image. Edges weigh how near two regions are,
more so where they are prominent.
"""

from dataclasses import dataclass
from pathlib import Path

from galr import store, versions
from galr.graph.adjacency import Closeness
from galr.graph.denoise import Measure
from galr.graph.detections import Regions
from galr.graph.drea import columns, graphs
from galr.settings import Settings, setting

CHOICES = ("least_score", "most", "measure", "redundant", "closeness", "bandwidth")


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """What comes in, what goes out, and the choices of DREA."""

    regions: Path = setting("regions.h5")
    least_score: float = setting("regions of a lower score are left out as noise, in [0, 1]")
    most: int = setting("n, the most regions to keep of an image")
    measure: Measure = setting("how alike two regions of one class are")
    redundant: float = setting(
        "likeness above which the lower-scored of two regions is dropped; 1 drops none"
    )
    closeness: Closeness = setting("how near two regions are")
    bandwidth: float = setting("of the Gaussian, relative to the image")
    output: Path = setting("graphs.h5 to write")


def run(flags: Flags) -> None:
    """Read regions, build graphs, write them."""
    with store.reading(flags.regions, store.REGIONS) as file:
        names, class_names = store.texts(file["names"]), store.texts(file["class_names"])
        tables = ("offsets", "boxes", "scores", "classes", "sizes")
        regions = Regions(**{table: file[table][:] for table in tables})
        origin = store.provenance(file)
    found = graphs(
        regions,
        len(class_names),
        least_score=flags.least_score,
        most=flags.most,
        measure=flags.measure,
        redundant=flags.redundant,
        closeness=flags.closeness,
        bandwidth=flags.bandwidth,
    )
    origin = {
        "dataset": origin.get("dataset"),
        "detector": origin.get("detector"),
        "regions_sha256": versions.sha256(flags.regions),
        "settings": {key: value for key, value in vars(flags).items() if key in CHOICES},
        "columns": columns(class_names),
        "versions": versions.code(),
    }
    with store.writing(flags.output, store.GRAPHS, origin) as file:
        store.write_texts(file, "names", names)
        store.write_arrays(file, **vars(found))
