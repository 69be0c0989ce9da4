"""How fast training and evaluation are, compared with the published way and with the bare network.

    python benchmarks/train.py [--device cuda] [--precision bf16] [--plot growth.svg] [--only training] ...

All in one run on one machine, on synthetic images: JPEG files of 256 pixels, and the same in a dataset.h5.
Every contender has the model of config/config.yaml with random weights, by seed, and a process of its own.

Training. `published` is the published way (train_published.py). `ours` is `galr.train`, pairs shuffled freely
as released; `ours, grouped` keeps the pairs of an image together and encodes it once. `limit` is forward,
backward and optimizer alone, on random tensors on the device with the shapes of our steps. Ours and its limit
take turns of a few steps, and their ratio is the median over the turns; the published way is timed before and
after them, once its workers are ahead. Memory is the process's peak beyond its imports, images in memory
included and workers left out; on a GPU, the most allocated.

Evaluation. The published way runs the whole model on every block of 128 images with every block of 128 sentences.
--passes of these passes are timed and scaled to all by the number of images that they encode; opening images
is left out. Ours, everything from dataset.h5 to recalls, is timed on --evaluated images and scaled in proportion.

Growth. Seconds of one epoch of ours, one sentence an image, for several numbers of images.

Flags that are not given depend on the device: on a CPU a run takes about four minutes on two cores.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import galr.__main__  # noqa: F401  sets how threads wait, before torch is imported

import matplotlib.figure  # isort: skip
import numpy as np  # isort: skip
import torch  # isort: skip
from train_ours import evaluate_ours, train_epochs, train_limit, train_ours  # isort: skip
from train_published import BLOCK, evaluate_published, train_published  # isort: skip
from train_workload import SENTENCES_PER_IMAGE, Turn, Workload, write_images  # isort: skip

from galr.devices import resolve_device  # isort: skip

PARTS = ("training", "evaluation", "growth")
PRELOADED = ["galr.__main__", "train_ours", "train_published"]  # by the server of processes
DEFAULTS: dict[str, dict[str, Any]] = {
    "cpu": {
        "images": 1000, "batch": 16, "steps": 2, "warm": 2, "turns": 5, "passes": 2,
        "evaluated": 256, "growth": [32, 64, 128],
    },
    "cuda": {
        "images": 10_000, "batch": 100, "steps": 20, "warm": 20, "turns": 5, "passes": 387,
        "evaluated": 1093, "growth": [1250, 2500, 5000, 10_000],
    },
}  # fmt: skip


class Measurement(NamedTuple):
    """A contender's medians: pairs a second, milliseconds a step, images a step, and memory in MB."""

    rate: float
    step: float
    images: float
    memory: float


def main() -> None:
    """Write the images, time all contenders, print tables."""
    args = parse_arguments()
    device = resolve_device(args.device)
    for name, value in DEFAULTS[device.type].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    with TemporaryDirectory() as folder:
        work = Workload(
            Path(folder),
            str(device),
            args.threads,
            max(args.images, *args.growth, args.evaluated),
            args.batch,
            args.input_size,
            args.precision,
            args.compile,
            int(args.cache_gb * 1e9),
        )
        write_images(work)
        print(
            f"{device_name(device)}, {work.threads} threads, torch {torch.__version__}, load"
            f" {os.getloadavg()[0]:.1f}; {work.images:,} images, {work.batch_size} pairs a step,"
            f" {work.input_size} pixels, ours and limit in {work.precision}"
        )
        if "training" in args.only:
            compare_training(work, args.turns, args.steps, args.warm)
        if "evaluation" in args.only:
            compare_evaluation(work, args.tested, args.passes, args.evaluated)
        if "growth" in args.only:
            measure_growth(work, sorted(args.growth), args.plot)
        print(f"load at the end {os.getloadavg()[0]:.1f}")


def parse_arguments() -> argparse.Namespace:
    """Read the flags; those without a default depend on the device."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    flag = partial(parser.add_argument, metavar="N", type=int)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true", help="compile ours and its limit")
    flag("--threads", default=os.cpu_count() or 1, help="of the CPU")
    flag("--images", help="in the dataset")
    flag("--batch", help="pairs a step")
    flag("--input-size", default=256, help="side of the model's input, pixels")
    parser.add_argument(
        "--cache-gb", default=8.0, metavar="GB", type=float, help="images in memory; 0 reads ahead"
    )
    flag("--turns", help="of each contender")
    flag("--steps", help="in a turn")
    flag("--warm", help="steps before the first turn")
    flag("--tested", default=1093, help="images of the evaluation that is reported: RSICD's")
    flag("--passes", help="block passes of the published evaluation that are timed")
    flag("--evaluated", help="images of our evaluation that are timed")
    flag("--growth", nargs="+", help="numbers of images")
    parser.add_argument("--plot", metavar="FILE.svg", type=Path, help="plot the growth")
    return parser.parse_args()


def compare_training(work: Workload, turns: int, steps: int, warm: int) -> None:
    """Print the table of pairs a second and memory."""

    def published_turns() -> list[tuple[Turn, float]]:
        with isolated(train_published, work) as call:
            call(warm)
            return [call(steps) for _ in range(ceil(turns / 2))]

    published = published_turns()
    rows = []
    for name, group_by_image in (("ours", False), ("ours, grouped", True)):
        with (
            isolated(partial(train_ours, group_by_image), work) as call,
            isolated(train_limit, work) as call_limit,
        ):
            call_limit(call(warm)[0].shapes)
            ours, limit = [], []
            for _ in range(turns):
                ours.append(call(steps))
                limit.append(call_limit(ours[-1][0].shapes))
        ratio = median(b.seconds / o.seconds for (o, _), (b, _) in zip(ours, limit, strict=True))
        rows.append((name, summarize(ours, work.batch_size), f"{ratio:10.3f}"))
        rows.append(("  limit of it", summarize(limit, work.batch_size), ""))
    base = summarize(published + published_turns(), work.batch_size)
    titles = f"{'pairs/s':>9}{'ms a step':>11}{'images':>8}{'MB':>9}"
    print(f"{'training':24}{titles}{'to published':>14}{'to limit':>10}")
    for name, measured, ratio in [("published", base, ""), *rows]:
        print(
            f"{name:24}{measured.rate:9.2f}{measured.step:11.1f}{measured.images:8.1f}"
            f"{measured.memory:9,.0f}{measured.rate / base.rate:14.2f}{ratio}",
            flush=True,
        )


def summarize(turns: list[tuple[Turn, float]], batch_size: int) -> Measurement:
    """Medians over turns, each with the peak memory until then."""
    step = median(turn.seconds / len(turn.shapes) for turn, _ in turns)
    images = np.mean([shape.images for turn, _ in turns for shape in turn.shapes])
    return Measurement(batch_size / step, 1000 * step, float(images), turns[-1][1])


def compare_evaluation(work: Workload, tested: int, passes: int, evaluated: int) -> None:
    """Print the seconds of one evaluation of `tested` images."""
    sentences = tested * SENTENCES_PER_IMAGE
    blocks = [ceil(number / BLOCK) for number in (tested, sentences)]
    full = blocks[1] * tested / BLOCK  # in passes over a whole block of images
    with isolated(evaluate_published, work) as call:
        call(1)
        published = call(passes)[0] / passes * full
    with isolated(evaluate_ours, work) as call:
        call(work.batch_size)
        ours = call(evaluated)[0] / evaluated * tested
    print(
        f"evaluation of {tested:,} images and {sentences:,} sentences: published"
        f" {published:,.1f} s ({passes} of {blocks[0] * blocks[1]} block passes timed), ours"
        f" {ours:,.1f} s ({evaluated} images timed), ratio {published / ours:.1f}",
        flush=True,
    )


def measure_growth(work: Workload, sizes: list[int], plot: Path | None) -> None:
    """Print, and plot on request, the seconds of an epoch for several numbers of images."""
    print(f"{'images':>8}{'stored':>12}{'s an epoch':>12}{'ms a pair':>11}{'MB':>9}")
    seconds = []
    with isolated(train_epochs, work) as call:
        call(min(work.batch_size, sizes[0]))
        for images in sizes:
            (taken, location), memory = call(images)
            seconds.append(taken)
            print(
                f"{images:8,}{location:>12}{taken:12.2f}{1000 * taken / images:11.2f}{memory:9,.0f}",
                flush=True,
            )
    if plot is not None:
        plot_growth(plot, sizes, seconds, work)


def plot_growth(path: Path, sizes: list[int], seconds: list[float], work: Workload) -> None:
    """Plot seconds an epoch over numbers of images, with the line through the origin that fits best."""
    figure = matplotlib.figure.Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    across = np.array([0, *sizes])
    slope = np.dot(sizes, seconds) / np.dot(sizes, sizes)
    axes.plot(across, slope * across, color="0.7", label=f"{1000 * slope:.2f} ms an image")
    axes.plot(sizes, seconds, "o", label="measured")
    axes.set(xlabel="images, one sentence each", ylabel="seconds an epoch", xlim=0, ylim=0)
    device = device_name(torch.device(work.device))
    axes.set_title(f"{device}, {work.input_size} pixels, {work.precision}")
    axes.legend(frameon=False)
    figure.savefig(path)


@contextmanager
def isolated(
    make: Callable[[Workload], Callable[[Any], Any]], work: Workload
) -> Iterator[Callable[..., Any]]:
    """Make a contender in a process of its own.

    Yields:
        A function that calls the contender and returns its result and the peak memory until then in MB.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, make, work))
    process.start()
    there.close()

    def call(argument: Any) -> Any:  # noqa: ANN401  each contender has its own types
        here.send(argument)
        return here.recv()

    yield call
    here.send(None)
    process.join()


def serve(pipe: Any, make: Callable[[Workload], Callable[[Any], Any]], work: Workload) -> None:  # noqa: ANN401
    """Call a contender for each argument that arrives, until None arrives."""
    torch.set_num_threads(work.threads)
    before = peak_memory()
    contender = make(work)
    for argument in iter(pipe.recv, None):
        result = contender(argument)
        cuda = work.device.startswith("cuda")
        used = (
            torch.cuda.max_memory_allocated(work.device) / 2**20 if cuda else peak_memory() - before
        )
        pipe.send((result, used))


def peak_memory() -> float:
    """Peak resident memory of this process in MB; `getrusage` would include that of the parent."""
    status = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(status[1]) / 2**10 if status else float("nan")


def device_name(device: torch.device) -> str:
    """Name of the GPU, or `CPU`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


if __name__ == "__main__":
    sys.exit(main())
