"""Detect the regions of every image with mmdet.

The original image files are read at full size; boxes are in pixels of these. An image without detections has
no rows.

IN   dataset.h5       names, files and sizes of the images
     the folder of the image files, a detector file and its checkpoint
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
from galr.regions.detector_spec import read_network_spec


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The images, the detector, the output and the device."""

    dataset: Path = option("dataset.h5")
    folder: Path = option("the folder of the dataset's image files")
    detector: Path = option("the detector file")
    checkpoint: Path = option("the detector's weights")
    output: Path = option("regions.h5 to write")
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads, for the network and for opening images", default=1)


def run(options: Options) -> None:
    """Load the detector, run it on every image, and write the regions."""
    import torch  # here and below: --help needs neither torch nor mmdet

    from galr.devices import resolve_device
    from galr.io.formats import Dataset, Regions
    from galr.io.pixel_options import PixelOptions
    from galr.regions import network
    from galr.regions.detect import concatenate_ragged, detect
    from galr.regions.pipelines import load_checked

    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    detector = read_network_spec(options.detector)
    model = network.load_network(detector, options.checkpoint, device)
    with Dataset.open(options.dataset) as dataset:
        names, files = dataset.names, dataset.files
        sizes, dataset_name = dataset.sizes[:], dataset.provenance.get("dataset")
        pixels = PixelOptions.from_dict(dataset.provenance.get("pixels"))
    loaders = (
        partial(load_checked, options.folder / file, size, pixels)
        for file, size in zip(files, sizes, strict=True)
    )
    results = detect(model, loaders, detector.inference, threads=options.threads)
    detections = list(ProgressBar(results, "regions", len(files), unit="image", disable=None))
    tables, dropped = concatenate_ragged(detections)
    provenance = {
        "dataset": dataset_name,
        "dataset_sha256": file_sha256(options.dataset),
        "detector": {
            "name": detector.name,
            "config_sha256": detector.config_hash(),
            "checkpoint_sha256": file_sha256(options.checkpoint),
        },
        "dropped": dropped,
        "versions": code_versions(),
    }
    with Regions.create(options.output, provenance) as file:
        file.write(names=names, sizes=sizes, class_names=detector.classes, **tables)
    print(
        f"{detector.name}: {len(tables['scores'])} regions in {len(files)} images;"
        f" {dropped} boxes without area dropped",
        file=sys.stderr,
    )
