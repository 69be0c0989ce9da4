"""How long a question takes: `galr search` from its start to the first answer, and from line to answer after it.

    python benchmarks/session.py [rows] [flag of galr search ...]

100,000 rows of 512 numbers by default, an index of the kind flat. The rows are drawn by seed and so are the
weights of the sentence encoder, which has the default size; what is found means nothing, and takes as long. Every
question is another sentence of eight words. The first answer is timed with a question on the command line, and
told in processor time as well, which a neighbour on the machine hardly changes.
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
from galr.search import text_query
from galr.search.build import update_index
from galr.search.index import BANK, BANK_SIZE, TEXT_ENCODER
from galr.search.rasters import Window
from galr.search.sources import SourceListing
from galr.search.tile_table import EmbeddedBlock, TileTableBuilder

WIDTH, SIDE = 512, 256  # numbers an embedding, pixels a picture
WORDS = [f"word{number}" for number in range(1349)]  # as many as RSITMD's
TEXT = {"text": "bigru", "word_size": 300, "text_size": 512, "text_dropout": 0.0}
QUESTIONS, TRIES, BLOCK = 100, 3, 1 << 12


class Drawn:
    """Embeddings of pictures that are nowhere."""

    kind, path = "folder", Path("nowhere")

    def __init__(self, rows: int) -> None:
        """Say how many."""
        self._rows = rows

    def listing(self) -> SourceListing:
        """A name and a key each."""
        return SourceListing([(f"{row:07}.png", f"{row:064}") for row in range(self._rows)])

    def blocks(self, keys: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Draw them, some at a time."""
        random = np.random.default_rng(0)
        for start in range(0, len(keys), BLOCK):
            made = TileTableBuilder()
            for key in keys[start : start + BLOCK]:
                made.add(key, (SIDE, SIDE), None, [Window(0, 0, SIDE, SIDE)])
            yield EmbeddedBlock(made.build(), unit(len(made.keys), random), {})


def main(rows: int, flags: Sequence[str]) -> None:
    """Make an index, ask, print."""
    with tempfile.TemporaryDirectory() as name:
        fill(Path(name), rows)
        command = [sys.executable, "-m", "galr", "search", "--index", name, "--json", *flags]
        wall, processor = once(command)
        further = session(command)
    print(f"{rows:,} x {WIDTH}, {' '.join(flags) or 'no flags'}, load {os.getloadavg()[0]:.1f}")
    print(f"first answer {wall:.1f} s after the start, {processor:.1f} s of them processor time")
    print(
        f"further ones in a session {1000 * statistics.median(further):.1f} ms"
        f" ({1000 * max(further):.1f} at worst of {len(further)})"
    )


def fill(folder: Path, rows: int) -> None:
    """Make an index as `galr index` does, of a model that learnt nothing."""
    torch.manual_seed(0)
    architecture = TEXT | {"words": len(WORDS) + 2, "embedding": WIDTH}
    encoder = build_text_encoder(**architecture)
    state = {f"{sentences.STATE_PREFIX}{name}": each for name, each in encoder.state_dict().items()}
    text_query.write_text_encoder(folder / TEXT_ENCODER, architecture, state, WORDS, max_words=100)
    np.save(folder / BANK, unit(BANK_SIZE, np.random.default_rng(1)))
    update_index(folder, Drawn(rows), "", {"model": {"name": "drawn"}}, "flat")


def once(command: list[str]) -> tuple[float, float]:
    """Ask one question and leave: the least of some tries, seconds by the clock and of the processor."""
    tries = []
    for _ in range(TRIES):
        used, start = _processor(), time.perf_counter()
        subprocess.run([*command, "word1 word2"], check=True, stdout=subprocess.DEVNULL)
        tries.append((time.perf_counter() - start, _processor() - used))
    return min(tries)


def session(command: list[str]) -> list[float]:
    """Ask one question after another; seconds of each but the first."""
    taken, random = [], np.random.default_rng(2)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as asked:
        assert asked.stdin is not None and asked.stdout is not None
        for _ in range(1 + QUESTIONS):
            start = time.perf_counter()
            asked.stdin.write(" ".join(random.choice(WORDS, 8)) + "\n")
            asked.stdin.flush()
            if not asked.stdout.readline():
                raise SystemExit("no answer came; see above")
            taken.append(time.perf_counter() - start)
    return taken[1:]


def _processor() -> float:
    """Processor time of all programs that were called so far, seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def unit(rows: int, random: np.random.Generator) -> np.ndarray:
    """Draw embeddings of length 1, in no order."""
    table = random.standard_normal((rows, WIDTH), np.float32)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000, sys.argv[2:])
