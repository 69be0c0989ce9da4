"""Train an mmdet detector on boxes in COCO form, and measure it on images it never saw.

The state is kept beside the checkpoint after every epoch, and taken up again after a kill.
Held-out images are only measured on: nothing is chosen by them.

IN   config/detectors/{detector}.yaml
     the folder that its train section speaks of: COCO annotations and images
OUT  checkpoint.pth   weights and classes, a slim mmdet checkpoint
     ap.csv           class,images,boxes,ap,ap50 of the held-out images; a row for all classes last
"""

import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from galr.devices import resolve_device
from galr.io.coco import read_train_val
from galr.io.images import load_rgb
from galr.options import OptionGroup, option
from galr.provenance import code_versions
from galr.regions import average_precision, training
from galr.regions.detect import detect
from galr.regions.detector_spec import read_network_spec
from galr.regions.network import save_checkpoint


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What is trained on what, and where."""

    detector: Path = option("the detector file")
    folder: Path = option("the folder that holds boxes and images")
    checkpoint: Path = option("checkpoint.pth to write")
    table: Path = option("ap.csv to write")
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)


def run(options: Options) -> None:
    """Read boxes, train, save, measure."""
    torch.set_num_threads(options.threads)
    device = resolve_device(options.device)
    detector = read_network_spec(options.detector)
    recipe = detector.train_config()
    images = options.folder / recipe.images
    boxes, held_out = read_train_val(options.folder, detector.classes, recipe)
    origin = training.training_hash(detector, boxes)
    work = options.checkpoint.with_name(f".{options.checkpoint.stem}-{origin[:12]}")
    model = training.train_network(
        detector,
        boxes,
        images,
        work,
        device=device,
        workers=training.num_workers(options.threads),
        log=lambda line: print(f"{detector.name}: {line}", file=sys.stderr, flush=True),
    )
    known = {"fingerprint": origin, "versions": code_versions()}
    save_checkpoint(model, options.checkpoint, detector.classes, known)
    pictures = (partial(load_rgb, images / image["file_name"]) for image in held_out.images)
    found = list(detect(model, pictures, detector.inference, threads=options.threads))
    rows = average_precision.average_precision(held_out, found)
    average_precision.write_ap(options.table, rows)
    shutil.rmtree(work)
    print(f"{detector.name}: {precision.describe_ap(rows)}", file=sys.stderr)
