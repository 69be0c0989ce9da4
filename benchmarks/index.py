"""Cost of a FAISS index: memory, time to build, time per query and recall@10 of the three kinds.

    python benchmarks/index.py [rows] [threads] [kind ...]

100,000 rows of 512 numbers and 2 threads by default. The rows are synthetic unit vectors, drawn with a fixed seed:
clusters of about a hundred, mostly within 32 of the 512 dimensions, as embeddings of images vary in few directions,
too; real ones may be easier or harder. Queries are rows plus a random vector half as long. Each kind is built in a
process of its own and searched, one query at a time, in another one. Memory is the peak of the process above what it
had at the start; of a search it includes the pages of files that it has read.
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

from galr.search import IndexKind
from galr.search.vector_index import (
    CHUNK_ROWS,
    Recall,
    VectorIndex,
    build_faiss_index,
    perturbed_queries,
    tune_search_effort,
)

T = TypeVar("T")
EMBED_DIM, INNER_DIM = 512, 32
NUM_QUERIES, NUM_WARM_UP = 200, 20


class BuildCost(NamedTuple):
    """Seconds to build an index, MB of memory and MB of the file."""

    seconds: float
    memory: float
    file: float


class SearchCost(NamedTuple):
    """Median and maximum of the milliseconds per query, and MB of memory."""

    median: float
    maximum: float
    memory: float


def main(rows: int, threads: int, kinds: tuple[IndexKind, ...]) -> None:
    """Build and search every kind, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        embeddings = Path(folder) / "embeddings.npy"
        write_embeddings(embeddings, rows)
        size = embeddings.stat().st_size / 2**20
        print(
            f"{rows:,} x {EMBED_DIM} synthetic, {size:,.0f} MB of embeddings, {threads} threads,",
            end="",
        )
        print(f" FAISS {faiss.__version__}, load {os.getloadavg()[0]:.1f}")
        print(
            "kind    build s  build MB  file MB  ms a query (slowest)  search MB  recall@10  effort"
        )
        for kind in kinds:
            path = Path(folder) / kind
            built = run_in_process(measure_build, kind, embeddings, path, threads)
            effort, recall = run_in_process(tune, kind, embeddings, path, threads)
            searched = run_in_process(measure_search, kind, embeddings, path, effort)
            print(
                f"{kind:6} {built.seconds:8.1f} {built.memory:9,.0f} {built.file:8,.0f}"
                f" {searched.median:12.1f} ({searched.maximum:.1f})"
                f" {searched.memory:9,.0f} {recall.at_10:10.3f} {effort:7}",
                flush=True,
            )
            path.unlink()


def write_embeddings(path: Path, rows: int) -> None:
    """Write clustered unit vectors, chunk by chunk."""
    random = np.random.default_rng(0)
    projection = random.standard_normal((INNER_DIM, EMBED_DIM), np.float32)
    centres = 2 * random.standard_normal((max(rows // 100, 1), INNER_DIM), np.float32)
    table = np.lib.format.open_memmap(path, "w+", np.float32, (rows, EMBED_DIM))
    for start in range(0, rows, CHUNK_ROWS):
        count = min(CHUNK_ROWS, rows - start)
        inner = centres[random.integers(len(centres), size=count)]
        inner += random.standard_normal((count, INNER_DIM), np.float32)
        noise = random.standard_normal((count, EMBED_DIM), np.float32)
        chunk = inner @ projection + 0.1 * INNER_DIM**0.5 * noise
        table[start : start + count] = chunk / np.linalg.norm(chunk, axis=1, keepdims=True)
    table.flush()


def run_in_process(function: Callable[..., T], *args: object) -> T:
    """Call a function in a new process, so that its peak of memory is its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def measure_build(kind: IndexKind, embeddings: Path, path: Path, threads: int) -> BuildCost:
    """Build an index and write it."""
    faiss.omp_set_num_threads(threads)
    rows, before = np.load(embeddings, mmap_mode="r"), peak_memory()
    start = time.perf_counter()
    faiss.write_index(build_faiss_index(kind, rows, 0), str(path))
    seconds = time.perf_counter() - start
    return BuildCost(seconds, peak_memory() - before, path.stat().st_size / 2**20)


def tune(kind: IndexKind, embeddings: Path, path: Path, threads: int) -> tuple[int, Recall]:
    """Tune an index as `galr index` does: its effort and its recall."""
    faiss.omp_set_num_threads(threads)
    rows = np.load(embeddings, mmap_mode="r")
    index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
    return tune_search_effort(
        kind, rows, index, perturbed_queries(rows, NUM_QUERIES, 1), "rows with noise"
    )


def measure_search(kind: IndexKind, embeddings: Path, path: Path, effort: int) -> SearchCost:
    """Search for 10 rows, one query at a time; with one thread, as waking a second takes longer."""
    faiss.omp_set_num_threads(1)
    rows, before = np.load(embeddings, mmap_mode="r"), peak_memory()
    queries = perturbed_queries(rows, NUM_QUERIES + NUM_WARM_UP, 2)
    index = VectorIndex(kind, rows, faiss.read_index(str(path), faiss.IO_FLAG_MMAP), effort)
    times = []
    for query in queries:
        start = time.perf_counter()
        index.search(query[None], 10)
        times.append(1000 * (time.perf_counter() - start))
    times = times[NUM_WARM_UP:]
    return SearchCost(statistics.median(times), max(times), peak_memory() - before)


def peak_memory() -> float:
    """Peak memory of this process in MB."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) / 2**10 if match else float("nan")


if __name__ == "__main__":
    words = sys.argv[1:]
    chosen = tuple(kind for kind in get_args(IndexKind) if kind in words[2:] or not words[2:])
    main(int(words[0]) if words else 100_000, int(words[1]) if words[1:] else 2, chosen)
