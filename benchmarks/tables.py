"""What ranks and reranks cost without the matrix, beside the bare products they need.

    python benchmarks/tables.py [images] [sentences] [width] [k] [--device cpu]
    python benchmarks/tables.py --growth > growth.csv

8,000 images, 40,000 sentences, 512 numbers each and k = 30 by default: about a minute on two cores. The
tables are drawn into files and memory-mapped, as a user's are. A bare walk makes every product and drops
it; it is timed before and after the work that it is compared with. MR is both directions in the variant
`code`, from the tables to the reranked order; it walks twice. Memory is the most that the process held,
libraries and the pages of the files included.
`--growth` prints a row for each of some sizes with five sentences an image, up to that many images.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import galr.__main__  # noqa: F401  says how threads wait before torch is loaded

import numpy as np  # isort: skip
import torch  # isort: skip

from galr.devices import device_of
from galr.retrieval.rerank import least_k
from galr.retrieval.tables.products import Tables
from galr.retrieval.tables.search import search
from galr.retrieval.tables.top import top
from galr.retrieval.tables.walks import BOTH, look

VARIANT, W1, W2, XI = "code", 0.3, 1.1, 0.05
STEPS = (16, 8, 4, 2, 1)  # of a growth: the last size divided by each


@dataclass(frozen=True)
class Cost:
    """Seconds of a bare walk, of one that keeps the best, of MR; the most memory held, in MB."""

    bare: float
    best: float
    mr: float
    memory: float


def main() -> None:
    """Draw tables, time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name, size in (("images", 8_000), ("sentences", 40_000), ("width", 512), ("k", 30)):
        parser.add_argument(name, nargs="?", type=int, default=size)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--growth", action="store_true")
    given = parser.parse_args()
    device = device_of(given.device)
    if given.growth:
        print("images,sentences,width,k,bare_s,best_s,mr_s,ratio,memory_mb")
        for step in STEPS:
            images, sentences = given.images // step, 5 * (given.images // step)
            cost = measure(images, sentences, given.width, given.k, device)
            ratio = cost.mr / (2 * cost.bare)
            seconds = f"{cost.bare:.3f},{cost.best:.3f},{cost.mr:.3f},{ratio:.2f}"
            print(
                f"{images},{sentences},{given.width},{given.k},{seconds},{cost.memory:.0f}",
                flush=True,
            )
        return
    cost = measure(given.images, given.sentences, given.width, given.k, device)
    print(
        f"{given.images:,} x {given.sentences:,}, {given.width} numbers, k = {given.k}, {device},"
        f" {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"{'':42}{'seconds':>9}{'to bare walks':>15}")
    print(f"{'one bare walk':42}{cost.bare:9.2f}")
    print(
        f"{'one walk, the best of both directions':42}{cost.best:9.2f}{cost.best / cost.bare:15.2f}"
    )
    print(f"{'MR of both directions, two walks':42}{cost.mr:9.2f}{cost.mr / (2 * cost.bare):15.2f}")
    print(f"most memory held: {cost.memory:,.0f} MB")


def measure(images: int, sentences: int, width: int, k: int, device: torch.device) -> Cost:
    """Time one size; bare walks before, between and after what is compared with them."""
    with tempfile.TemporaryDirectory() as folder:
        tables = Tables(*draw(Path(folder), images, sentences, width), device)
        bare = [seconds(lambda: walk(tables), device)]
        best = seconds(lambda: look(tables, least_k(VARIANT, k) + 1, BOTH, None), device)
        bare.append(seconds(lambda: walk(tables), device))
        mr = seconds(lambda: rerank(tables, k), device)
        bare.append(seconds(lambda: walk(tables), device))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return Cost(float(np.mean(bare)), best, mr, memory)


def draw(folder: Path, images: int, sentences: int, width: int) -> list[np.ndarray]:
    """Draw unit embeddings that find each other now and then; memory-mapped, a block at a time."""
    random = np.random.default_rng(0)
    seen = random.normal(size=(images, width)).astype(np.float32)
    tables = []
    for name, rows in (("images", images), ("sentences", sentences)):
        table = np.lib.format.open_memmap(folder / name, "w+", np.float32, (rows, width))
        for start in range(0, rows, 10_000):
            of_image = np.arange(start, min(start + 10_000, rows)) * images // rows
            block = seen[of_image]
            if name == "sentences":
                block = block + 3 * random.standard_normal(block.shape, np.float32)
            table[start : start + 10_000] = block / np.linalg.norm(block, axis=1, keepdims=True)
        table.flush()
        tables.append(np.lib.format.open_memmap(folder / name, "r"))
    return tables


def walk(tables: Tables) -> None:
    """Make every product and drop it."""
    for _ in tables.tiles("bare"):
        pass


def rerank(tables: Tables, k: int) -> None:
    """MR of both directions, from the tables to the order."""
    found = search(tables, least_k(VARIANT, k), BOTH)
    for candidates in found.candidates.values():
        top(candidates, VARIANT, k, W1, W2, XI)


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Time one run to its end."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
