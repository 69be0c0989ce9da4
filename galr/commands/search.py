"""Find the pictures that a sentence describes, or that look like a picture, in an index.

IN   an index that `galr index` made, and a sentence, a picture, or lines of sentences on standard input
OUT  a table on standard output; with --json a JSON document a query, each on a line of its own, that says
     `error` where a line makes no sense; with --html also one self-contained page with thumbnails

  galr search --index index "two ships beside a dock"
  galr search --index index --image x.png --html found.html
  galr search --index index < sentences.txt

The score is the cosine of the query and the tile, in [-1, 1]. A picture asks as a whole, resized, with its
regions found as in training; that needs the run and takes longer to load than a sentence does.

--rerank looks at the best --pool tiles again (multivariate rerank): training sentences, which the index
holds, stand in for the other queries that a tile might answer. Scores of a second stage are marked * and mean
nothing to those of another query.
"""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import faiss
import numpy as np
import torch

from galr.errors import ConfigError, DataError, GalrError
from galr.options import OptionGroup, option
from galr.search import text_query
from galr.search.index import TEXT_ENCODER, Index, open_index
from galr.search.query import QueryRerank, QueryResult, search, to_dict, to_table


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What is asked, of which index, and how it is to be told."""

    query: str | None = option(
        "the sentence; without one, or a picture, lines are read", default=None, positional=True
    )
    index: Path = option("the folder that galr index made")
    image: Path | None = option("a picture to ask with instead", default=None)
    k: int = option("answers", default=10)
    json: bool = option("JSON instead of a table", default=False)
    html: Path | None = option("a page to write as well", default=None)
    rerank: Literal["none", "mr-code", "mr-paper", "reciprocal"] = option(
        "second stage", default="none"
    )
    rerank_k: int = option(
        "tiles that the second stage looks at (mr-code: at least 10)", default=30
    )
    w1: float = option("weight of significance", default=0.3)
    w2: float = option("weight of the reverse place", default=1.1)
    xi: float = option("decay a place", default=0.05)
    run: Path | None = option("for --image: the run, if it does not lie where it did", default=None)
    detector: Path | None = option(
        "for --image: the detector file; none is config/detectors/<name>.yaml", default=None
    )
    weights: Path | None = option("for --image: the detector's weights", default=None)
    device: str = option("for --image: auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        if self.k < 1:
            raise ConfigError(f"--k counts the answers, at least 1; got {self.k}")
        if self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {self.threads}")
        if self.image is not None and self.query is not None:
            raise ConfigError("give a sentence or --image, not both")
        if self.image is not None and self.rerank != "none":
            raise ConfigError(
                "--rerank asks training sentences, which say nothing of a picture; give --rerank none"
            )
        self.query_rerank()

    def query_rerank(self) -> QueryRerank | None:
        """The second stage, if any."""
        if self.rerank == "none":
            return None
        variant = self.rerank.removeprefix("mr-")
        return QueryRerank(variant, self.rerank_k, self.w1, self.w2, self.xi)


def run(options: Options) -> None:
    """Open the index, answer every query as it comes, write the page at the end."""
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    answered = []
    for index, each in answer_queries(options):
        print(format_result(options, index, each), flush=True)
        if each.unknown_words:
            print(f"the model never learnt: {', '.join(each.unknown_words)}", file=sys.stderr)
        answered.append(each)
    if options.html is not None and answered:
        from galr.search.page import render_page  # what draws is loaded when something is drawn

        write_page(options.html, render_page(index, answered))


def format_result(options: Options, index: Index, result: QueryResult) -> str:
    """An answer as it is printed; the tables of a session stand under what was asked, and apart."""
    if options.json:
        return json.dumps(to_dict(index, result), ensure_ascii=False)
    if options.image or options.query is not None:
        return to_table(result)
    return f"{result.query}\n{to_table(result)}\n"


def answer_queries(options: Options) -> Iterator[tuple[Index, QueryResult]]:
    """Answer what is asked: a picture, a sentence, or line after line; each with the index that was asked."""
    index = open_index(options.index)
    if options.image is not None:
        found = search(index, embed_image(options, index, options.image), options.k, None)
        yield index, QueryResult(options.image.name, options.image, [], "none", found)
        return
    asker = text_query.read_text_encoder(options.index / TEXT_ENCODER)
    if options.query is not None:
        yield index, search_sentence(options, index, asker, options.query)
        return
    for line in read_lines():
        try:
            if not index.is_current():
                index, asker = (
                    open_index(options.index),
                    text_query.read_text_encoder(options.index / TEXT_ENCODER),
                )
            yield index, search_sentence(options, index, asker, line)
        except GalrError as error:  # a session outlives a sentence that makes no sense
            print(f"galr: {type(error).__name__}: {error}", file=sys.stderr)
            if options.json:  # whoever asks line by line waits for a line
                print(json.dumps({"query": line, "error": str(error)}), flush=True)


def search_sentence(
    options: Options, index: Index, encoder: text_query.TextEncoder, sentence: str
) -> QueryResult:
    """Answer a sentence."""
    found = search(index, encoder.embed(sentence), options.k, options.query_rerank())
    return QueryResult(sentence, None, encoder.unknown_words(sentence), options.rerank, found)


def read_lines() -> Iterator[str]:
    """Sentences from standard input, one a line; a terminal is prompted."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a stray byte is a strange word, no end
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        try:
            line = sys.stdin.readline()
        except KeyboardInterrupt:  # as good a farewell as the end of the file
            return
        if not line:
            return
        if line.strip():
            yield line.strip()


def embed_image(options: Options, index: Index, image: Path) -> np.ndarray:
    """Embed a picture with the model that made the index: (embedding,) float32."""
    from galr.search.tile_encoder import (
        embed_query_image,  # the whole model: a sentence does without
    )

    run = options.run or index.resolve(index.manifest["model"]["run"])
    return embed_query_image(image, index, run, options.detector, options.weights, options.device)


def write_page(path: Path, page: str) -> None:
    """Write the page.

    Raises:
        DataError: nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}); choose another --html"
        ) from error
