"""What an index costs: memory, time to build, time a query and recall@10 of the three kinds.

    python benchmarks/index.py [rows] [threads] [kind ...]

100,000 rows of 512 numbers and 2 threads by default. The rows are synthetic: unit vectors drawn by seed around
a cluster for every hundred of them, in 32 dimensions of 512 and with a tenth of noise in the others, as
embeddings of pictures crowd in few directions too; true ones may be easier or harder. Queries are rows pushed
off by half their length. Each kind is built in a process of its own and asked, a query at a time, in another
one; memory is the peak of the process, less what it had before, and for asking counts the pages of files that
it has touched.
"""

import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

import faiss
import numpy as np

from galr.search.vector_index import (
    CHUNK_ROWS,
    IndexKind,
    Recall,
    VectorIndex,
    build_faiss_index,
    perturbed_queries,
    tune_search_effort,
)

T = TypeVar("T")
WIDTH, INNER = 512, 32
QUERIES, WARM = 200, 20


class Built(NamedTuple):
    """A kind, built: seconds, MB of memory and of file."""

    seconds: float
    memory: float
    file: float


class Asked(NamedTuple):
    """A kind, asked: milliseconds a query, the median and the worst, and MB of memory."""

    milliseconds: float
    slowest: float
    memory: float


def main(rows: int, threads: int, kinds: tuple[IndexKind, ...]) -> None:
    """Draw, build, ask, print a table."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "embeddings.npy"
        draw(table, rows)
        size = table.stat().st_size / 2**20
        print(
            f"{rows:,} x {WIDTH} synthetic, {size:,.0f} MB of embeddings, {threads} threads,",
            end="",
        )
        print(f" FAISS {faiss.__version__}, load {os.getloadavg()[0]:.1f}")
        print(
            "kind    build s  build MB  file MB   ms a query (worst)  search MB  recall@10  effort"
        )
        for kind in kinds:
            path = Path(folder) / kind
            made = alone(make, kind, table, path, threads)
            effort, recall = alone(reach, kind, table, path, threads)
            found = alone(ask, kind, table, path, effort)
            print(
                f"{kind:6} {made.seconds:8.1f} {made.memory:9,.0f} {made.file:8,.0f}"
                f" {found.milliseconds:12.1f} ({found.slowest:.1f})"
                f" {found.memory:9,.0f} {recall.at_10:10.3f} {effort:7}",
                flush=True,
            )
            path.unlink()


def draw(path: Path, rows: int) -> None:
    """Write clustered unit vectors, some at a time."""
    random = np.random.default_rng(0)
    spread = random.standard_normal((INNER, WIDTH), np.float32)
    centres = 2 * random.standard_normal((max(rows // 100, 1), INNER), np.float32)
    table = np.lib.format.open_memmap(path, "w+", np.float32, (rows, WIDTH))
    for start in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - start)
        place = centres[random.integers(len(centres), size=count)]
        place += random.standard_normal((count, INNER), np.float32)
        block = place @ spread + 0.1 * INNER**0.5 * random.standard_normal(
            (count, WIDTH), np.float32
        )
        table[start : start + count] = block / np.linalg.norm(block, axis=1, keepdims=True)
    table.flush()


def alone(work: Callable[..., T], *args: object) -> T:
    """Work in a fresh process, whose peak memory is its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, args)


def make(kind: IndexKind, table: Path, path: Path, threads: int) -> Built:
    """Build a kind and write it."""
    faiss.omp_set_num_threads(threads)
    rows, before = np.load(table, mmap_mode="r"), peak()
    start = time.perf_counter()
    faiss.write_index(build_faiss_index(kind, rows, 0), str(path))
    seconds = time.perf_counter() - start
    return Built(seconds, peak() - before, path.stat().st_size / 2**20)


def reach(kind: IndexKind, table: Path, path: Path, threads: int) -> tuple[int, Recall]:
    """Find the effort that a kind is given in an index, and its recall."""
    faiss.omp_set_num_threads(threads)
    rows = np.load(table, mmap_mode="r")
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    return tune_search_effort(
        kind, rows, index, perturbed_queries(rows, QUERIES, 1), "rows with noise"
    )


def ask(kind: IndexKind, table: Path, path: Path, effort: int) -> Asked:
    """Ask a kind for 10 rows, a query at a time; by one thread, as to wake a second costs more."""
    faiss.omp_set_num_threads(1)
    rows, before = np.load(table, mmap_mode="r"), peak()
    queries = perturbed_queries(rows, QUERIES + WARM, 2)
    asked = VectorIndex(kind, rows, faiss.read_index(str(path), faiss.IO_FLAG_MMAP), effort)
    taken = []
    for query in queries:
        start = time.perf_counter()
        asked.search(query[None], 10)
        taken.append(1000 * (time.perf_counter() - start))
    return Asked(statistics.median(taken[WARM:]), max(taken[WARM:]), peak() - before)


def peak() -> float:
    """Most memory this process has had so far, MB; the kernel tells a new program from what it grew out of."""
    said = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(said[1]) / 2**10 if said else float("nan")


if __name__ == "__main__":
    said = sys.argv[1:]
    chosen = tuple(kind for kind in get_args(IndexKind) if kind in said[2:] or not said[2:])
    main(int(said[0]) if said else 100_000, int(said[1]) if said[1:] else 2, chosen)
