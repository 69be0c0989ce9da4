"""Find the regions of every image, with a network of mmdet or with proposals that need none.

The original image files are read at full size; boxes are in pixels of these. An image without detections has
no rows.

IN   dataset.h5       names, files and sizes of the images
     the folder of the image files, a detector file, and the checkpoint of a network
OUT  regions.h5
        /offsets      (images + 1,) int64; image i owns rows offsets[i]:offsets[i+1]
        /boxes        (regions, 4) float32, x1 y1 x2 y2 in pixels, inside the image
        /scores       (regions,) float32 in [0, 1], descending within an image
        /classes      (regions,) int32, index into class_names
        /class_names  (classes,) text
        /names /sizes as in dataset.h5
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from galr.options import OptionGroup, option
from galr.progress import ProgressBar
from galr.provenance import code_versions, file_sha256
from galr.regions.detector_spec import read_runnable_spec


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The images, the detector, the output and the device."""

    dataset: Path = option("dataset.h5")
    folder: Path = option("the folder of the dataset's image files")
    detector: Path = option("the detector file")
    checkpoint: Path | None = option(
        "the network's weights; proposals have no network, so leave it out", default=None
    )
    output: Path = option("regions.h5 to write")
    device: str = option("auto, cpu, cuda or cuda:N; proposals run on the CPU", default="auto")
    threads: int = option(
        "CPU threads of the network and for opening images, or processes for proposals", default=1
    )


def run(options: Options) -> None:
    """Load the detector, run it on every image, and write the regions."""
    from galr.io.formats import Dataset, Regions  # here and below: --help needs none of them
    from galr.io.pixel_options import PixelOptions
    from galr.regions.detector import concatenate_ragged, load_checked, open_detector

    spec = read_runnable_spec(options.detector)
    detector = open_detector(spec, options.checkpoint, options.device, options.threads)
    with Dataset.open(options.dataset) as dataset:
        names, files = dataset.names, dataset.files
        sizes, dataset_name = dataset.sizes[:], dataset.provenance.get("dataset")
        pixels = PixelOptions.from_dict(dataset.provenance.get("pixels"))
    loaders = (
        partial(load_checked, options.folder / file, size, pixels)
        for file, size in zip(files, sizes, strict=True)
    )
    results = detector.detect(loaders, threads=options.threads)
    detections = list(ProgressBar(results, "regions", len(files), unit="image", disable=None))
    tables, dropped = concatenate_ragged(detections)
    provenance = {
        "dataset": dataset_name,
        "dataset_sha256": file_sha256(options.dataset),
        "detector": detector.provenance,
        "dropped": dropped,
        "versions": code_versions(),
    }
    with Regions.create(options.output, provenance) as file:
        file.write(names=names, sizes=sizes, class_names=detector.classes, **tables)
    print(
        f"{spec.name}: {len(tables['scores'])} regions in {len(files)} images;"
        f" {dropped} boxes without area dropped",
        file=sys.stderr,
    )
