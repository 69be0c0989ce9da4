"""How busy do opening and joining pictures leave the network, in one run on one machine.

    python benchmarks/regions.py [small pictures] [large pictures] [threads of the network]

256 pictures of 256 pixels for the demo's network and 4 of 1,000 pixels, cut into 4 slices each, for
RTMDet-tiny at 640; the network has all cores but one, which is left to open pictures, unless you say.
`ours` is everything from files on disk to regions, `bare` is mmdet's `test_step` alone on the very same
batches, prepared before; the two alternate, and medians are told. Weights are random, and up to 20
boxes a level are kept however little they score, so that there is something to join. Peak memory is
the whole process's, once ours has run, imports and network included.
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

from galr import __main__  # noqa: F401  says how threads wait, before torch is loaded  # isort: skip

import torch

from galr.commands import draw
from galr.io.images import load_rgb
from galr.regions import network
from galr.regions.detect import ImageLoader, SliceBatch, detect, iter_batches
from galr.regions.detector_spec import DetectorSpec, InferenceConfig, SliceConfig, read_network_spec
from galr.regions.mmdet_imports import BaseDetector, suppress_output

TIMES = 5
FEW_BOXES = {"score_thr": 0.0, "nms_pre": 20}
DEMO = Path(__file__).parents[1] / "config" / "detectors" / "demo.yaml"


def main(small: int, large: int, threads: int) -> None:
    """Draw pictures, time both networks on them, print a table."""
    torch.set_num_threads(threads)
    demo = with_few_boxes(read_network_spec(DEMO))
    tiny = with_few_boxes(
        replace(
            demo,
            base="rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
            overrides={"backbone": {"init_cfg": None}},
            detection=InferenceConfig((640, 640), 8, 0.0, 0.5, 100, slices=SliceConfig(640, 0.2)),
        )
    )
    print(f"{threads} thread(s) for the network, torch {torch.__version__}; images a second")
    print(f"{'':34}{'ours':>10}{'bare':>10}{'ratio':>8}{'peak':>10}")
    with TemporaryDirectory() as folder:
        compare("demo, 256 px at 192", demo, drawn(Path(folder, "small"), small, 256), threads)
        compare(
            "RTMDet-tiny, 1,000 px in 4 at 640",
            tiny,
            drawn(Path(folder, "large"), large, 1000),
            threads,
        )


def with_few_boxes(detector: DetectorSpec) -> DetectorSpec:
    """Let a network that learnt nothing find a few boxes in every picture."""
    overrides: dict[str, Any] = {**detector.overrides, "test_cfg": FEW_BOXES}
    return replace(detector, overrides=overrides, detection=replace(detector.inference, score=0.0))


def drawn(folder: Path, images: int, size: int) -> list[ImageLoader]:
    """Draw scenes as `galr draw` does; what opens each."""
    draw.run(draw.Options(images=images, size=size, output=folder))
    return [partial(load_rgb, path) for path in sorted((folder / "images").iterdir())]


def compare(
    name: str, detector: DetectorSpec, pictures: Sequence[ImageLoader], threads: int
) -> None:
    """Print both medians in images a second, the ratio, and the peak."""
    model = random_network(detector)
    how = detector.inference
    ours = partial(extract, model, pictures, how, threads)
    ours()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux
    bare = partial(look, model, list(iter_batches(pictures, how, threads=threads)))
    bare()
    times = [(seconds(ours), seconds(bare)) for _ in range(TIMES)]
    fast, floor = (len(pictures) / median(column) for column in zip(*times, strict=True))
    print(f"{name:34}{fast:10.1f}{floor:10.1f}{fast / floor:8.2f}{peak:7.0f} MB")


def random_network(detector: DetectorSpec) -> BaseDetector:
    """A detector that learnt nothing."""
    torch.manual_seed(0)
    model = network.build_network(detector)
    network.init_weights(model)
    return network.to_device(model, torch.device("cpu")).eval()


def extract(
    model: BaseDetector, pictures: Sequence[ImageLoader], how: InferenceConfig, threads: int
) -> None:
    """Open, cut, fit, look, join."""
    for _ in detect(model, pictures, how, threads=threads):
        pass


def look(model: BaseDetector, batches: Sequence[SliceBatch]) -> None:
    """Do nothing but what mmdet does with prepared tensors."""
    with suppress_output(), torch.inference_mode():
        for batch in batches:
            model.test_step({"inputs": batch.inputs, "data_samples": batch.samples})


def seconds(work: Callable[[], None]) -> float:
    """Time one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    given = map(int, sys.argv[1:4])
    main(*given) if len(sys.argv) == 4 else main(256, 4, max((os.cpu_count() or 1) - 1, 1))
