"""Speed of detection from files to regions, compared with the network alone, in one run on one machine.

    python benchmarks/regions.py [small images] [large images] [threads of the network]

256 images of 256 pixels for the demo's network and 4 of 1,000 pixels, cut into 4 slices each, for RTMDet-tiny at 640.
By default the network has all cores but one, which opens images. `ours` is everything from files to regions, `bare`
is mmdet's `test_step` alone on the same batches, prepared before; the two alternate, and medians are printed. Weights
are random, and up to 20 boxes a level are kept whatever their scores, so that there are boxes to merge. Peak memory
is that of the whole process after a run of ours, imports and network included.
"""

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from galr import __main__  # noqa: F401  sets how threads wait, before torch is imported  # isort: skip

import torch

from galr.commands import draw
from galr.io.images import load_rgb
from galr.regions import network
from galr.regions.detect import SliceBatch, detect, iter_batches
from galr.regions.detector import ImageLoader
from galr.regions.detector_spec import DetectorSpec, InferenceConfig, SliceConfig, read_network_spec
from galr.regions.mmdet_imports import BaseDetector, suppress_output

TIMES = 5
FEW_BOXES = {"score_thr": 0.0, "nms_pre": 20}
DEMO = Path(__file__).parents[1] / "config" / "detectors" / "demo.yaml"


def main(small: int, large: int, threads: int) -> None:
    """Draw images, time both networks on them, and print a table."""
    torch.set_num_threads(threads)
    demo = with_few_boxes(read_network_spec(DEMO))
    tiny = with_few_boxes(
        replace(
            demo,
            base="rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
            overrides={"backbone": {"init_cfg": None}},
            inference=InferenceConfig((640, 640), 8, 0.0, 0.5, 100, slices=SliceConfig(640, 0.2)),
        )
    )
    print(f"{threads} thread(s) for the network, torch {torch.__version__}; images a second")
    print(f"{'':34}{'ours':>10}{'bare':>10}{'ratio':>8}{'peak':>10}")
    with TemporaryDirectory() as folder:
        compare(
            "demo, 256 px at 192", demo, draw_images(Path(folder, "small"), small, 256), threads
        )
        compare(
            "RTMDet-tiny, 1,000 px in 4 at 640",
            tiny,
            draw_images(Path(folder, "large"), large, 1000),
            threads,
        )


def with_few_boxes(detector: DetectorSpec) -> DetectorSpec:
    """Let an untrained network find a few boxes in every image."""
    overrides: dict[str, Any] = {**detector.overrides, "test_cfg": FEW_BOXES}
    return replace(detector, overrides=overrides, inference=replace(detector.inference, score=0.0))


def draw_images(folder: Path, images: int, size: int) -> list[ImageLoader]:
    """Draw images as `galr draw` does, and return their loaders."""
    draw.run(draw.Options(images=images, size=size, output=folder))
    return [partial(load_rgb, path) for path in sorted((folder / "images").iterdir())]


def compare(name: str, detector: DetectorSpec, images: Sequence[ImageLoader], threads: int) -> None:
    """Print both medians in images a second, their ratio, and the peak memory."""
    model = random_network(detector)
    inference = detector.inference
    ours = partial(run_ours, model, images, inference, threads)
    ours()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux
    bare = partial(run_bare, model, list(iter_batches(images, inference, threads=threads)))
    bare()
    times = [(seconds(ours), seconds(bare)) for _ in range(TIMES)]
    ours_rate, bare_rate = (len(images) / median(column) for column in zip(*times, strict=True))
    print(f"{name:34}{ours_rate:10.1f}{bare_rate:10.1f}{ours_rate / bare_rate:8.2f}{peak:7.0f} MB")


def random_network(detector: DetectorSpec) -> BaseDetector:
    """An untrained detector."""
    torch.manual_seed(0)
    model = network.build_network(detector)
    network.init_weights(model)
    return network.to_device(model, torch.device("cpu")).eval()


def run_ours(
    model: BaseDetector, images: Sequence[ImageLoader], inference: InferenceConfig, threads: int
) -> None:
    """Open, slice, detect and merge."""
    for _ in detect(model, images, inference, threads=threads):
        pass


def run_bare(model: BaseDetector, batches: Sequence[SliceBatch]) -> None:
    """Run mmdet on prepared tensors."""
    with suppress_output(), torch.inference_mode():
        for batch in batches:
            model.test_step({"inputs": batch.inputs, "data_samples": batch.samples})


def seconds(work: Callable[[], None]) -> float:
    """Time one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    sizes = map(int, sys.argv[1:4])
    main(*sizes) if len(sys.argv) == 4 else main(256, 4, max((os.cpu_count() or 1) - 1, 1))
