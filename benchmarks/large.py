"""Cost of ranks and reranks without the matrix, compared with that of the products alone.

    python benchmarks/large.py [images] [sentences] [width] [k] [--device cpu]
    python benchmarks/large.py --growth > growth.csv
    python benchmarks/large.py --plot growth.svg > growth.csv

8,000 images, 40,000 sentences, 512 numbers each and k = 30 by default: about a minute on two cores. The
tables are random, in files that are memory-mapped, as a user's are. A bare pass computes every product and drops
it; it is timed before and after the work that it is compared with. MR is both directions in the variant
`code`, from the tables to the reranked order, in two passes. Memory is the peak of the process, libraries and the
pages of the files included.
`--growth` prints a row for each of several sizes with five sentences an image, up to the given number of images, with
the faster of two turns; `--plot` plots them as well.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import galr.__main__  # noqa: F401  sets how threads wait, before torch is imported

import numpy as np  # isort: skip
import torch  # isort: skip

from galr.devices import resolve_device
from galr.evaluate.large import DIRECTIONS, rerank_topk, topk_pass, two_pass_search
from galr.evaluate.rerank import effective_k
from galr.evaluate.tiled_products import EmbeddingPair

VARIANT, W1, W2, XI = "code", 0.3, 1.1, 0.05
STEPS = (16, 8, 4, 2, 1)  # sizes of a growth: the largest one divided by these
TURNS = 2  # of every size in a growth; the faster one counts, less disturbed by other programs
TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Cost:
    """Cost of one size: seconds of a bare pass, of a pass that keeps the best, and of MR; peak memory in MB."""

    images: int
    sentences: int
    bare: float
    best: float
    mr: float
    memory: float


def main() -> None:
    """Draw random tables, time, and print or plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name, size in (("images", 8_000), ("sentences", 40_000), ("width", 512), ("k", 30)):
        parser.add_argument(name, nargs="?", type=int, default=size)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    device = resolve_device(args.device)
    threads = f"{torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() > 1)
    settings = f"{args.width} numbers, k = {args.k}, {device}, {threads}"
    if args.growth or args.plot:
        before = os.getloadavg()[0]
        costs = list(growth(args.images, args.width, args.k, device))
        if args.plot:
            load = f"load {before:.1f} before and {os.getloadavg()[0]:.1f} after"
            plot(args.plot, costs, f"{settings}, torch {torch.__version__}, {load}")
        return
    cost = measure(args.images, args.sentences, args.width, args.k, device)
    print(f"{args.images:,} x {args.sentences:,}, {settings}, torch {torch.__version__}")
    print(f"{'':42}{'seconds':>9}{'to bare passes':>16}")
    print(f"{'one bare pass':42}{cost.bare:9.2f}")
    print(
        f"{'one pass, the best of both directions':42}{cost.best:9.2f}{cost.best / cost.bare:16.2f}"
    )
    print(
        f"{'MR of both directions, two passes':42}{cost.mr:9.2f}{cost.mr / (2 * cost.bare):16.2f}"
    )
    print(f"peak memory: {cost.memory:,.0f} MB")


def growth(images: int, width: int, k: int, device: torch.device) -> Iterator[Cost]:
    """Measure growing sizes up to a number of images, and print every row at once."""
    print("images,sentences,width,k,bare_s,best_s,mr_s,ratio,memory_mb")
    for step in STEPS:
        size = images // step
        turns = [measure(size, 5 * size, width, k, device) for _ in range(TURNS)]
        cost = min(turns, key=lambda cost: cost.bare + cost.best + cost.mr)
        seconds = f"{cost.bare:.3f},{cost.best:.3f},{cost.mr:.3f},{cost.mr / (2 * cost.bare):.2f}"
        print(f"{cost.images},{cost.sentences},{width},{k},{seconds},{cost.memory:.0f}", flush=True)
        yield cost


def plot(path: Path, costs: Sequence[Cost], settings: str) -> None:
    """Plot time and memory over the number of products, on logarithmic axes; the same numbers give the same bytes.

    The reference of time has slope 1 and goes through the last point of two bare passes. The reference of memory
    is the size of the matrix.

    Args:
        path: the SVG to write.
        costs: by size.
        settings: text of the title.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    products = np.array([cost.images * cost.sentences for cost in costs])
    bare = np.array([2 * cost.bare for cost in costs])
    curves = {
        "two bare passes": (bare, "o-", "0.35"),
        "best of both directions, one pass": ([cost.best for cost in costs], "s-", "tab:blue"),
        "MR of both directions, two passes": ([cost.mr for cost in costs], "D-", "tab:red"),
    }
    text = {"svg.fonttype": "none", "svg.hashsalt": "galr", "font.family": "sans-serif"}
    with mpl.rc_context(text):
        figure = Figure(figsize=(9, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        reference = bare[-1] * products / products[-1]
        left.loglog(products, reference, "--", color="0.6", label="slope 1")
        for label, (values, style, color) in curves.items():
            left.loglog(products, values, style, color=color, label=label)
        left.set_ylabel("seconds")
        matrix = products * 4 / 2**20
        right.loglog(products, matrix, "--", color="0.6", label="slope 1: the matrix alone")
        memory = [cost.memory for cost in costs]
        right.loglog(products, memory, "D-", color="tab:red", label="the whole process")
        right.set_ylabel("peak memory, MB")
        for axes in (left, right):
            axes.set_xticks(products, [f"{c.images:,}\n{TIMES} {c.sentences:,}" for c in costs])
            axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
            axes.yaxis.set_major_formatter("{x:g}")
            axes.grid(axis="y", color="0.9")
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(
                loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize="small", frameon=False
            )
        figure.supxlabel(f"images {TIMES} sentences", fontsize="medium")
        figure.suptitle(f"Without the matrix: {settings}", fontsize="small", color="0.35")
        figure.savefig(path, metadata={"Date": None})


def measure(images: int, sentences: int, width: int, k: int, device: torch.device) -> Cost:
    """Time one size, with bare passes before, between and after the work that is compared with them."""
    with tempfile.TemporaryDirectory() as folder:
        tables = EmbeddingPair(*write_tables(Path(folder), images, sentences, width), device)
        bare = [seconds(lambda: compute_products(tables), device)]
        best = seconds(
            lambda: topk_pass(tables, effective_k(VARIANT, k) + 1, DIRECTIONS, None), device
        )
        bare.append(seconds(lambda: compute_products(tables), device))
        mr = seconds(lambda: rerank(tables, k), device)
        bare.append(seconds(lambda: compute_products(tables), device))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return Cost(images, sentences, float(np.mean(bare)), best, mr, memory)


def write_tables(folder: Path, images: int, sentences: int, width: int) -> list[np.ndarray]:
    """Write random unit embeddings with some correct first answers, block by block, and memory-map them."""
    random = np.random.default_rng(0)
    image_table = random.normal(size=(images, width)).astype(np.float32)
    tables = []
    for name, rows in (("images", images), ("sentences", sentences)):
        table = np.lib.format.open_memmap(folder / name, "w+", np.float32, (rows, width))
        for start in range(0, rows, 10_000):
            of_image = np.arange(start, min(start + 10_000, rows)) * images // rows
            block = image_table[of_image]
            if name == "sentences":
                block = block + 3 * random.standard_normal(block.shape, np.float32)
            table[start : start + 10_000] = block / np.linalg.norm(block, axis=1, keepdims=True)
        table.flush()
        tables.append(np.lib.format.open_memmap(folder / name, "r"))
    return tables


def compute_products(tables: EmbeddingPair) -> None:
    """Compute every product and drop it."""
    for _ in tables.tiles("bare"):
        pass


def rerank(tables: EmbeddingPair, k: int) -> None:
    """MR of both directions, from the tables to the reranked order."""
    result = two_pass_search(tables, effective_k(VARIANT, k), DIRECTIONS)
    for candidates in result.candidates.values():
        rerank_topk(candidates, VARIANT, k, W1, W2, XI)


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Time one run to its end."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
