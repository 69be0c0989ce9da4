"""DREA: compute a representation matrix and an adjacency matrix from the regions of every image.

The best regions of an image that do not repeat each other become the n rows of its representation:
class one-hot, score, centre and size relative to the image. Edges weigh how near two regions are,
more so where they are prominent.

IN   regions.h5, or boxes of any tool: COCO results with the images' sizes
OUT  graphs.h5      representation (images, n, d), adjacency (images, n, n), mask (images, n);
                    region_index (images, n), the region of each row; num_redundant (images,)
     or with --show a PNG of one image: regions kept, regions dropped with the reason, and edges

  galr graphs --regions regions.h5 --output graphs.h5
  galr graphs --boxes results.json --sizes sizes.csv --output graphs.h5
  galr graphs --boxes results.json --images images --show P0001 --output P0001.png
  galr graphs --run results/rsitmd/corrected/fold0 --show 0300 --output 0300.png

With --run, the options of DREA are those of the run's graphs. It also names the regions, and the images to
draw on (as stored in dataset.h5), where no other flag does.

sizes.csv has the columns image_id,width,height (pixels). The graphs are those of all its images, or of
all images in the folder, sorted by name. An image_id of the results is such a name, with or without
suffix, or an id of the COCO document --annotations. A number that no annotations list is refused unless
--ids names says that it is a name (7 for 000007.jpg).
"""

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from galr.errors import ConfigError, DataError, StoreError
from galr.graphs.denoise import SimilarityKind
from galr.graphs.denoise_report import explain_image
from galr.graphs.drea import build_graphs, build_kwargs, feature_names
from galr.graphs.edges import Normalisation, Proximity
from galr.io.coco import IdMeaning
from galr.io.formats import Dataset, Graphs
from galr.options import OptionGroup, option
from galr.provenance import code_versions
from galr.regions.image_sizes import load_image, read_sizes, scan_sizes, write_png
from galr.regions.region_set import RegionSet, read_coco_results, read_regions


@dataclass(frozen=True, kw_only=True)
class DreaOptions(OptionGroup):
    """The options of DREA; config section `graphs`."""

    min_score: float = option("regions of a lower score are dropped, in [0, 1]", default=0.3)
    max_regions: int = option("n, largest number of regions of an image", default=20)
    similarity: SimilarityKind = option(
        "similarity of two regions of one class; none keeps the first n", default="cosine"
    )
    similarity_threshold: float = option(
        "similarity above which the lower-scored of two regions is dropped; 1 drops none",
        default=0.98,
    )
    proximity: Proximity = option("what weighs the edge of two regions", default="gaussian")
    bandwidth: float = option("of the Gaussian, relative to the image", default=0.2)
    salience: bool = option("whether edges of prominent regions weigh more", default=True)
    self_loops: bool = option("whether a region has an edge to itself", default=True)
    normalisation: Normalisation = option("of the adjacency", default="symmetric")

    def drea_options(self) -> dict[str, Any]:
        """Return them by name, as graphs.h5 records them."""
        return {field.name: getattr(self, field.name) for field in fields(DreaOptions)}


@dataclass(frozen=True, kw_only=True)
class Options(DreaOptions):
    """Inputs, output and the options of DREA."""

    regions: Path | None = option("regions.h5", default=None)
    boxes: Path | None = option("instead: boxes of any tool, COCO results JSON", default=None)
    sizes: Path | None = option(
        "for --boxes: a CSV of image_id,width,height of all images", default=None
    )
    images: Path | None = option(
        "for --boxes, instead of --sizes: the folder of the images; for --show: what to draw on",
        default=None,
    )
    annotations: Path | None = option(
        "for --boxes: a COCO document with the meaning of its ids", default=None
    )
    ids: IdMeaning = option(
        "for --boxes: what an image_id is, an id of the annotations, the name of an image, or either",
        default="auto",
    )
    classes: tuple[str, ...] = option(
        "for --boxes: names of the classes in order; without, the categories that occur", default=()
    )
    first_category: int = option(
        "for --boxes with --classes: the category_id of the first class", default=1
    )
    run: Path | None = option(
        "results/<dataset>/<variant>/fold<k>, or a graphs.h5: take the options of DREA from its graphs",
        default=None,
    )
    show: str | None = option("draw the image of this name instead of writing graphs", default=None)
    output: Path = option("graphs.h5 to write; with --show, a PNG")

    def __post_init__(self) -> None:
        """Check that no flag is without effect."""
        if self.boxes is None:
            for flag in ("sizes", "annotations", "classes"):
                if getattr(self, flag):
                    raise ConfigError(f"--{flag} goes with --boxes; regions.h5 has it")
            if self.ids != "auto":
                raise ConfigError("--ids goes with --boxes; regions.h5 has names")
            if self.images is not None and self.show is None:
                raise ConfigError("--images goes with --boxes or with --show")
        if self.run is not None:
            for field in fields(DreaOptions):
                if getattr(self, field.name) != field.default:
                    flag = f"--{field.name.replace('_', '-')}"
                    raise ConfigError(f"--run takes {flag} from the run's graphs; leave it out")


def run(options: Options) -> None:
    """Read regions; write their graphs, or draw one."""
    run_graphs = None if options.run is None else _graphs_of(options.run)
    if run_graphs is not None:
        options = _with_settings_of(run_graphs, options)
    region_set = _read_regions(options)
    if options.show is not None:
        dataset = None if run_graphs is None else run_graphs.parents[1] / "dataset.h5"
        write_png(_draw(options, region_set, options.show, dataset), options.output)
        return
    arrays = build_graphs(
        region_set.detections, len(region_set.class_names), **build_kwargs(options.drea_options())
    )
    provenance = region_set.provenance | {
        "settings": options.drea_options(),
        "columns": feature_names(region_set.class_names),
        "versions": code_versions(),
    }
    with Graphs.create(options.output, provenance) as file:
        file.write(names=region_set.names)
        file.write(**vars(arrays))


def _graphs_of(run: Path) -> Path:
    """Find the graphs.h5 of a run, of a variant's folder, or the file itself.

    Raises:
        StoreError: there is none.
    """
    places = run.resolve(), run.resolve() / "graphs.h5", run.resolve().parent / "graphs.h5"
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise StoreError(
            f"{run} has no graphs.h5, nor has the folder above it; give results/<dataset>/<variant>/fold<k> of a"
            " variant that uses regions"
        )
    return found


def _with_settings_of(graphs: Path, options: Options) -> Options:
    """Take the options of DREA from a graphs.h5, and regions.h5 from above it where the options name no regions.

    Raises:
        StoreError: it is damaged, or was not computed from regions.
    """
    settings = Graphs.read_provenance(graphs).get("settings", {})
    missing = [field.name for field in fields(DreaOptions) if field.name not in settings]
    if missing:
        raise StoreError(
            f"{graphs} does not say {missing[0]}: its matrices were imported, not computed from regions; give a run"
            " of another variant"
        )
    if options.regions is None and options.boxes is None:
        options = replace(options, regions=graphs.parents[1] / "regions.h5")
    return replace(
        options, **{field.name: settings[field.name] for field in fields(DreaOptions)}, run=None
    )


def _stored_image(dataset: Path, name: str, size: np.ndarray) -> Image.Image:
    """Read an image of dataset.h5 in the size that it had before it was stored.

    Raises:
        DataError: the dataset has no such image.
    """
    with Dataset.open(dataset) as file:
        if name not in file.names:
            raise DataError(
                f"{dataset} has no image called {name}; name the images' folder (--images)"
            )
        pixels = file.images[file.names.index(name)]
    return Image.fromarray(pixels).resize((int(size[0]), int(size[1])), Image.Resampling.BICUBIC)


def _draw(options: Options, region_set: RegionSet, name: str, dataset: Path | None) -> Image.Image:
    """Draw the graph of one image on the image, or on white where neither a folder nor a dataset holds it."""
    from galr.graphs.visualize import draw_graph  # here, because only drawing needs matplotlib

    image = region_set.index_of(name)
    name, size = region_set.names[image], region_set.detections.sizes[image]
    report = explain_image(
        region_set.detections,
        image,
        len(region_set.class_names),
        **build_kwargs(options.drea_options()),
    )
    if options.images is None and dataset is not None and dataset.is_file():
        pixels = _stored_image(dataset, name, size)
    else:
        pixels = load_image(name, size, options.images)
    return draw_graph(pixels, report, region_set.class_names, name)


def _read_regions(options: Options) -> RegionSet:
    """Read the regions that the options name.

    Raises:
        ConfigError: they name none or two, or do not say how large the images are.
    """
    match options.regions, options.boxes:
        case Path() as regions, None:
            return read_regions(regions)
        case None, Path() as boxes:
            names, sizes = _read_sizes(options)
            region_set = read_coco_results(
                boxes,
                names,
                sizes,
                annotations=options.annotations,
                class_names=options.classes,
                first_category=options.first_category,
                detector=boxes.name,
                ids=options.ids,
            )
            print(f"{boxes}: {region_set.describe()}", file=sys.stderr)
            return region_set
        case _:
            raise ConfigError("give exactly one of --regions and --boxes, or a run")


def _read_sizes(options: Options) -> tuple[list[str], np.ndarray]:
    """Read the names and sizes of the images of --boxes.

    Raises:
        ConfigError: the options do not say where from, or say it twice.
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
