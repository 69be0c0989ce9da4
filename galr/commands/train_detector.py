"""Train an mmdet detector on boxes in COCO form, and measure it on held-out images.

The state is saved beside the checkpoint after each epoch; a training that was killed continues from it.
Held-out images are only measured on: nothing is chosen on them.

IN   config/detectors/{detector}.yaml
     the folder of its section `train`: COCO annotations and images
OUT  checkpoint.pth   weights and classes, an mmdet checkpoint without the optimiser
     ap.csv           class,images,boxes,ap,ap50 of the held-out images; the last row is for all classes
"""

import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from galr.options import OptionGroup, option
from galr.provenance import code_versions
from galr.regions.detector_spec import read_network_spec


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The detector, its boxes, its outputs, and where to compute."""

    detector: Path = option("the detector file")
    folder: Path = option("the folder that holds boxes and images")
    checkpoint: Path = option("checkpoint.pth to write")
    table: Path = option("ap.csv to write")
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)


def run(options: Options) -> None:
    """Read the boxes, train, save, measure."""
    import torch  # here and below: --help needs neither torch nor mmdet

    from galr.devices import resolve_device
    from galr.io.images import load_rgb
    from galr.regions import average_precision, training
    from galr.regions.detect import detect
    from galr.regions.network import save_checkpoint
    from galr.regions.train_val import read_train_val

    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    detector = read_network_spec(options.detector)
    config = detector.train_config()
    image_dir = options.folder / config.images
    boxes, held_out = read_train_val(options.folder, detector.classes, config)
    config_hash = training.training_hash(detector, boxes)
    work = options.checkpoint.with_name(f".{options.checkpoint.stem}-{config_hash[:12]}")
    model = training.train_network(
        detector,
        boxes,
        image_dir,
        work,
        device=device,
        workers=training.num_workers(options.threads),
        log=lambda line: print(f"{detector.name}: {line}", file=sys.stderr, flush=True),
    )
    provenance = {"fingerprint": config_hash, "versions": code_versions()}
    save_checkpoint(model, options.checkpoint, detector.classes, provenance)
    images_to_detect = (
        partial(load_rgb, image_dir / image["file_name"]) for image in held_out.images
    )
    detections = list(detect(model, images_to_detect, detector.inference, threads=options.threads))
    rows = average_precision.average_precision(held_out, detections)
    average_precision.write_ap(options.table, rows)
    shutil.rmtree(work)
    print(f"{detector.name}: {average_precision.describe_ap(rows)}", file=sys.stderr)
