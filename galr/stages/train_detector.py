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
from galr.io.images import load_rgb
from galr.options import OptionGroup, option
from galr.provenance import code_versions
from galr.regions import precision, training
from galr.regions.checkpoint import save_checkpoint
from galr.regions.coco import read_parts
from galr.regions.detect import detect
from galr.regions.detector import read_detector


@dataclass(frozen=True, kw_only=True)
class Flags(OptionGroup):
    """What is trained on what, and where."""

    detector: Path = option("the detector file")
    folder: Path = option("the folder that holds boxes and images")
    checkpoint: Path = option("checkpoint.pth to write")
    table: Path = option("ap.csv to write")
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)


def run(flags: Flags) -> None:
    """Read boxes, train, save, measure."""
    torch.set_num_threads(flags.threads)
    device = resolve_device(flags.device)
    detector = read_detector(flags.detector)
    recipe = detector.recipe()
    images = flags.folder / recipe.images
    boxes, held_out = read_parts(flags.folder, detector.classes, recipe)
    origin = training.fingerprint(detector, boxes)
    work = flags.checkpoint.with_name(f".{flags.checkpoint.stem}-{origin[:12]}")
    model = training.train(
        detector,
        boxes,
        images,
        work,
        device=device,
        workers=training.workers_for(flags.threads),
        tell=lambda line: print(f"{detector.name}: {line}", file=sys.stderr, flush=True),
    )
    known = {"fingerprint": origin, "versions": code_versions()}
    save_checkpoint(model, flags.checkpoint, detector.classes, known)
    pictures = (partial(load_rgb, images / image["file_name"]) for image in held_out.images)
    found = list(detect(model, pictures, detector.detection, threads=flags.threads))
    rows = precision.average_precision(held_out, found)
    precision.write(flags.table, rows)
    shutil.rmtree(work)
    print(f"{detector.name}: {precision.summary(rows)}", file=sys.stderr)
