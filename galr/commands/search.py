"""Find the images in an index that a sentence describes, or that are similar to an image.

IN   an index made by `galr index`; and a sentence, an image, or lines of sentences on standard input
OUT  a table on standard output; with --json, instead, a JSON document on a line of its own for each query, which
     is {"query": …, "error": …} for a line that cannot be answered; with --html, also a self-contained page with
     thumbnails

  galr search --index index "two ships beside a dock"
  galr search --index index --image x.png --html found.html
  galr search --index index < sentences.txt

The score is the cosine of the query and the tile, in [-1, 1]. An image is embedded whole, resized, with its
regions detected as in training; this needs the run and takes longer to load than a sentence does.

--rerank reorders the best --rerank-k tiles by multivariate rerank: training sentences, which the index holds,
serve as the other queries that a tile might match. Scores of reranked tiles are marked * and cannot be compared
between queries.
"""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from galr.errors import ConfigError, GalrError
from galr.options import OptionGroup, option

if TYPE_CHECKING:  # so that --help starts without torch
    import numpy as np

    from galr.search.index import Index
    from galr.search.query import QueryRerank, QueryResult
    from galr.search.text_query import TextEncoder


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The query, the index, and the form of the result."""

    query: str | None = option(
        "the sentence; without it and --image, lines are read from standard input",
        default=None,
        positional=True,
    )
    index: Path = option("folder of the index")
    image: Path | None = option("an image as the query", default=None)
    k: int = option("number of results", default=10)
    json: bool = option("JSON instead of a table", default=False)
    html: Path | None = option("also write a page", default=None)
    rerank: Literal["none", "mr-code", "mr-paper", "reciprocal"] = option(
        "reorder the best results", default="none"
    )
    rerank_k: int = option("number of tiles to rerank (mr-code: at least 10)", default=30)
    w1: float = option("weight of significance", default=0.3)
    w2: float = option("weight of the reverse rank", default=1.1)
    xi: float = option("decay per rank", default=0.05)
    run: Path | None = option(
        "for --image: the run, if it is not where it was when indexed", default=None
    )
    detector: Path | None = option(
        "for --image: the detector file; none is config/detectors/<name>.yaml", default=None
    )
    weights: Path | None = option("for --image: the detector's weights", default=None)
    device: str = option("for --image: auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)

    def __post_init__(self) -> None:
        """Check values against each other."""
        if self.k < 1:
            raise ConfigError(f"--k must be at least 1, got {self.k}")
        if self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {self.threads}")
        if self.image is not None and self.query is not None:
            raise ConfigError("give a sentence or --image, not both")
        if self.image is not None and self.rerank != "none":
            raise ConfigError(
                "--rerank compares the query with training sentences, which an image cannot be; give"
                " --rerank none"
            )
        self.query_rerank()

    def query_rerank(self) -> "QueryRerank | None":
        """The rerank of a sentence's results; None for none."""
        if self.rerank == "none":
            return None
        from galr.search.query import QueryRerank

        variant = self.rerank.removeprefix("mr-")
        return QueryRerank(variant, self.rerank_k, self.w1, self.w2, self.xi)


def run(options: Options) -> None:
    """Answer every query as it comes, and write the page at the end."""
    import faiss
    import torch

    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    results = []
    for index, result in answer_queries(options):
        print(format_result(options, index, result), flush=True)
        if result.unknown_words:
            print(
                f"not in the model's vocabulary: {', '.join(result.unknown_words)}", file=sys.stderr
            )
        results.append(result)
    if options.html is not None and results:
        from galr.io.atomic import atomic_write
        from galr.search.page import render_page

        page = render_page(index, results)
        with atomic_write(options.html) as partial:
            partial.write_text(page, encoding="utf-8")


def format_result(options: Options, index: "Index", result: "QueryResult") -> str:
    """A result as text; in a session, under the query and with an empty line after it."""
    from galr.search.query import to_dict, to_table

    if options.json:
        return json.dumps(to_dict(index, result), ensure_ascii=False)
    if options.image or options.query is not None:
        return to_table(result)
    return f"{result.query}\n{to_table(result)}\n"


def answer_queries(options: Options) -> Iterator[tuple["Index", "QueryResult"]]:
    """Answer the image, the sentence, or every line of a session.

    Yields:
        The index that answered, and the result.
    """
    from galr.search.index import TEXT_ENCODER, open_index
    from galr.search.query import QueryResult, search
    from galr.search.text_query import read_text_encoder

    index = open_index(options.index)
    if options.image is not None:
        hits = search(index, embed_image(options, index, options.image), options.k, None)
        yield index, QueryResult(options.image.name, options.image, [], "none", hits)
        return
    encoder = read_text_encoder(options.index / TEXT_ENCODER)
    if options.query is not None:
        yield index, search_sentence(options, index, encoder, options.query)
        return
    for line in read_lines():
        try:
            if not index.is_current():
                index = open_index(options.index)
                encoder = read_text_encoder(options.index / TEXT_ENCODER)
            yield index, search_sentence(options, index, encoder, line)
        except GalrError as error:  # a session continues after a line that cannot be answered
            print(f"galr: {type(error).__name__}: {error}", file=sys.stderr)
            if options.json:  # a program that sends lines waits for an answer to each
                print(json.dumps({"query": line, "error": str(error)}), flush=True)


def search_sentence(
    options: Options, index: "Index", encoder: "TextEncoder", sentence: str
) -> "QueryResult":
    """Answer a sentence."""
    from galr.search.query import QueryResult, search

    hits = search(index, encoder.embed(sentence), options.k, options.query_rerank())
    return QueryResult(sentence, None, encoder.unknown_words(sentence), options.rerank, hits)


def read_lines() -> Iterator[str]:
    """Yield the lines of standard input that are not empty; a terminal gets a prompt."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a byte that is no UTF-8 must not end the session
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        try:
            line = sys.stdin.readline()
        except KeyboardInterrupt:  # ends the session as the end of the file does
            return
        if not line:
            return
        if line.strip():
            yield line.strip()


def embed_image(options: Options, index: "Index", image: Path) -> "np.ndarray":
    """Embed an image with the model that made the index: (embed_dim,) float32."""
    from galr.search.tile_encoder import embed_query_image  # loads the whole model

    run = options.run or index.resolve(index.manifest["model"]["run"])
    return embed_query_image(image, index, run, options.detector, options.weights, options.device)
