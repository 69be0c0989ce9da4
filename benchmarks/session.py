"""Time of a query: `galr search` from its start to the first answer, and from a line to its answer in a session.

    python benchmarks/session.py [rows] [flag of galr search ...]

100,000 rows of 512 numbers by default, in a flat index. The rows and the weights of the text encoder, which has the
default size, are random: the results mean nothing, and take as long as real ones. Every query is another sentence of
eight words. The first answer is timed with the query on the command line, in processor time as well, which other
programs on the machine hardly change.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from galr.model.text import build_text_encoder
from galr.search.build import update_index
from galr.search.index import BANK, TEXT_ENCODER
from galr.search.sources import SourceListing
from galr.search.text_query import BANK_SIZE, STATE_PREFIX, write_text_encoder
from galr.search.tile_table import EmbeddedBlock, TileTableBuilder
from galr.search.windows import Window

EMBED_DIM, IMAGE_SIDE = 512, 256
WORDS = [f"word{number}" for number in range(1349)]  # as many as in RSITMD's vocabulary
TEXT_ARCHITECTURE = {
    "text_encoder": "bigru",
    "vocab_size": len(WORDS) + 2,
    "word_dim": 300,
    "gru_hidden": 512,
    "text_dropout": 0.0,
    "embed_dim": EMBED_DIM,
}
NUM_QUERIES, NUM_STARTS, BLOCK_ROWS = 100, 3, 1 << 12


class SyntheticSource:
    """Random embeddings in the place of a folder of images."""

    kind, path = "folder", Path("nowhere")

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def scan(self) -> SourceListing:
        """Name and key of as many images as rows."""
        return SourceListing([(f"{row:07}.png", f"{row:064}") for row in range(self._rows)])

    def blocks(self, keys: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Draw embeddings, block by block."""
        random = np.random.default_rng(0)
        for start in range(0, len(keys), BLOCK_ROWS):
            tiles = TileTableBuilder()
            for key in keys[start : start + BLOCK_ROWS]:
                window = Window(0, 0, IMAGE_SIDE, IMAGE_SIDE)
                tiles.add(key, (IMAGE_SIDE, IMAGE_SIDE), None, [window])
            yield EmbeddedBlock(tiles.build(), random_unit_rows(len(tiles.keys), random), {})


def main(rows: int, flags: Sequence[str]) -> None:
    """Make an index, time queries, print."""
    with tempfile.TemporaryDirectory() as name:
        make_index(Path(name), rows)
        command = [sys.executable, "-m", "galr", "search", "--index", name, "--json", *flags]
        wall, processor = time_first_answer(command)
        times = time_session(command)
    print(f"{rows:,} x {EMBED_DIM}, {' '.join(flags) or 'no flags'}, load {os.getloadavg()[0]:.1f}")
    print(f"first answer {wall:.1f} s after the start, {processor:.1f} s of them processor time")
    print(
        f"further answers in a session {1000 * statistics.median(times):.1f} ms"
        f" (the slowest of {len(times)}: {1000 * max(times):.1f})"
    )


def make_index(folder: Path, rows: int) -> None:
    """Make an index as `galr index` does, of a model that was not trained."""
    torch.manual_seed(0)
    encoder = build_text_encoder(**TEXT_ARCHITECTURE)
    weights = {f"{STATE_PREFIX}{name}": tensor for name, tensor in encoder.state_dict().items()}
    write_text_encoder(folder / TEXT_ENCODER, TEXT_ARCHITECTURE, weights, WORDS, max_words=100)
    np.save(folder / BANK, random_unit_rows(BANK_SIZE, np.random.default_rng(1)))
    update_index(folder, SyntheticSource(rows), "", {"model": {"name": "random weights"}}, "flat")


def time_first_answer(command: list[str]) -> tuple[float, float]:
    """Answer one query in a new process: seconds by the clock and of the processor, the least of some."""
    times = []
    for _ in range(NUM_STARTS):
        used, start = processor_time(), time.perf_counter()
        subprocess.run([*command, "word1 word2"], check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - start, processor_time() - used))
    return min(times)


def time_session(command: list[str]) -> list[float]:
    """Answer one query after another: seconds of each but the first."""
    times, random = [], np.random.default_rng(2)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for _ in range(1 + NUM_QUERIES):
            start = time.perf_counter()
            process.stdin.write(" ".join(random.choice(WORDS, 8)) + "\n")
            process.stdin.flush()
            if not process.stdout.readline():
                raise SystemExit("no answer came; see above")
            times.append(time.perf_counter() - start)
    return times[1:]


def processor_time() -> float:
    """Processor time of all child processes so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def random_unit_rows(count: int, random: np.random.Generator) -> np.ndarray:
    """Draw vectors of length 1: (count, EMBED_DIM) float32."""
    table = random.standard_normal((count, EMBED_DIM), np.float32)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000, sys.argv[2:])
