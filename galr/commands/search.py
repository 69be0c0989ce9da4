r"""Find the images in an index that a sentence describes, or that are similar to an image.

IN   an index made by `galr index`; and a sentence, an image, or lines of sentences on standard input
OUT  a table on standard output; with --json, instead, a JSON document on a line of its own for each query, which
     is {"query": …, "error": …} for a line that cannot be answered; with --paths, instead, the full path of each
     image, a line each; with --html, also a self-contained page with thumbnails; with --geojson, also the
     footprints of the tiles that have coordinates, in longitude and latitude (WGS 84)

  galr search --index index "two ships beside a dock"
  galr search --index index "two ships" -"a bridge" +"a dock"
  galr search --index index --image x.png --html found.html
  galr search --index index < sentences.txt
  galr search --index index --min-score 0.4 --paths "a harbour" | xargs -d '\n' cp -t harbours

A sentence may be followed by others that are added (+) or subtracted (-): the query is the sum of their
embeddings. A sign counts where a word begins with it, and a hyphen inside a word does not; in double quotes, signs
are text. 2: before a sentence counts it twice, as in "2:two ships -0.5:clouds".

Without a query, lines are read: in a terminal with a prompt, a history, `help` and `quit`; otherwise a file or a
pipe in UTF-8.

The score is the cosine of the query and the tile, in [-1, 1]. An image is embedded whole, resized, with its
regions detected as in training; this needs the run and takes longer to load than a sentence does.

Near-identical tiles are merged into the best of them: those of one image that share more than a fifth of their
area, and those whose embeddings have a cosine of 0.999 or more, such as copies of an image.

--rerank reorders the best --rerank-k tiles by multivariate rerank: training sentences, which the index holds,
serve as the other queries that a tile might match. Scores of reranked tiles are marked * and cannot be compared
between queries.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from galr.errors import ConfigError, DataError, GalrError, printable
from galr.io.pixel_options import PixelOptions
from galr.options import OptionGroup, option
from galr.search import check_index_exists
from galr.search.session import is_terminal, read_lines

if TYPE_CHECKING:  # so that --help starts without torch
    import numpy as np

    from galr.search.index import Index
    from galr.search.query import QueryRerank, QueryResult
    from galr.search.text_query import TextEncoder

SHOWN_WORDS = 10  # that the model does not know
ECHO_LENGTH = 500  # of a query above its table
MINUS_SENTENCE = re.compile(r"-(?!h$)[^-\s].*", re.DOTALL)  # flags have two dashes; but for -h


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The query, the index, and the form of the result."""

    query: tuple[str, ...] = option(
        'the sentence, and perhaps -"another" +"a third"; without it and --image, lines are read from standard input',
        default=(),
        positional=True,
    )
    index: Path = option("folder of the index")
    image: Path | None = option("an image as the query", default=None)
    k: int = option("number of results", default=10)
    min_score: float | None = option(
        "smallest cosine of a result, in [-1, 1]; none gives --k results", default=None
    )
    merge: bool = option("merge near-identical tiles into the best of them", default=True)
    json: bool = option("JSON instead of a table", default=False)
    paths: bool = option(
        "full paths of the images instead of a table, each once, a line each", default=False
    )
    html: Path | None = option("also write a page", default=None)
    geojson: Path | None = option("also write footprints as GeoJSON", default=None)
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
        "for --image: the detector file; none is config/detectors/<name>.yaml of the run's workflow",
        default=None,
    )
    weights: Path | None = option("for --image: the detector's weights", default=None)
    bands: tuple[int, ...] | None = option(
        "for --image: as in galr index; none reads it as the indexed images", default=None
    )
    range: tuple[float, ...] | None = option(
        "for --image: as in galr index; none reads it as the indexed images", default=None
    )
    device: str = option("for --image: auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)

    def __post_init__(self) -> None:
        """Check values against each other."""
        PixelOptions(self.bands, self.range)
        if self.k < 1:
            raise ConfigError(f"--k must be at least 1, got {self.k}")
        if self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {self.threads}")
        if self.min_score is not None and not -1 <= self.min_score <= 1:
            raise ConfigError(f"--min-score is a cosine in [-1, 1], got {self.min_score}")
        if self.json and self.paths:
            raise ConfigError("give --json or --paths, not both")
        if self.image is not None and self.query:
            raise ConfigError("give a sentence or --image, not both")
        if self.image is not None and self.rerank != "none":
            raise ConfigError(
                "--rerank compares the query with training sentences, which an image cannot be; give"
                " --rerank none"
            )

    @classmethod
    def parse(cls, parser: argparse.ArgumentParser, words: Sequence[str]) -> Self:
        """Read the options; sentences may stand anywhere, and begin with one dash."""
        values = {
            flag
            for action in parser._actions  # argparse has no public list of them
            for flag in action.option_strings
            if action.nargs != 0
        }
        guarded = [
            # The space makes argparse take the word for a sentence instead of a flag.
            f" {word}" if MINUS_SENTENCE.fullmatch(word) and before not in values else word
            for before, word in zip(["", *words], words, strict=False)
        ]
        return cls.from_args(parser.parse_intermixed_args(guarded))

    @property
    def sentences(self) -> str | None:
        """The query as `galr.search.text_query.parse_query` reads it; None if there is none."""
        if not self.query:
            return None
        parts, sign = [], ""
        for word in map(str.strip, self.query):
            if word in ("+", "-"):  # as in rclip, where signs are words of their own
                sign = word
            else:
                parts.append(sign + word)
                sign = ""
        return " ".join(parts)

    def query_rerank(self) -> "QueryRerank | None":
        """The rerank of a sentence's results; None for none."""
        if self.rerank == "none":
            return None
        from galr.search.query import QueryRerank

        variant = self.rerank.removeprefix("mr-")
        return QueryRerank(variant, self.rerank_k, self.w1, self.w2, self.xi)


def run(options: Options) -> None:
    """Answer every query as it comes, and write the files at the end."""
    check_files(options)
    import faiss
    import torch

    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    results = []
    for index, result in answer_queries(options):
        if options.paths:
            print_paths(options, index, result)
        elif text := format_result(options, index, result):
            print(text, flush=True)
        if notes := describe_result(options, result):
            print("\n".join(notes), file=sys.stderr)
        results.append(result)
    if results:
        write_files(options, index, results)


def check_files(options: Options) -> None:
    """Check that the files to read are there, before anything is loaded.

    Raises:
        StoreError: the folder holds no index.
        DataError: the image does not exist.
    """
    check_index_exists(options.index)
    if options.image is not None and not options.image.is_file():
        raise DataError(f"{options.image} does not exist, or is no file; give an image to --image")


def format_result(options: Options, index: "Index", result: "QueryResult") -> str:
    """A result as text; in a session, under the query, unless it was typed above, and with an empty line after it."""
    from galr.search.query import to_dict, to_table

    if options.json:
        return json.dumps(to_dict(index, result), ensure_ascii=False)
    table = to_table(result) if result.hits else ""
    if options.image or options.query:
        return table
    echo = "" if is_terminal() else f"{printable(result.query, ECHO_LENGTH)}\n"
    return f"{echo}{table}\n" if table else echo


def print_paths(options: Options, index: "Index", result: "QueryResult") -> None:
    """Print the full paths of the images of a result, each once, in order.

    Raises:
        DataError: an image of a dataset is not there any more; in a session this is a line, and it continues.
    """
    from galr.search.workflow_files import ImageFiles

    files = ImageFiles(index)
    paths = [files.path_of(hit.tile) for hit in result.hits]
    for path in dict.fromkeys(path for path in paths if path is not None):
        print(path)
    sys.stdout.flush()
    missing = [hit.tile.name for hit, path in zip(result.hits, paths, strict=True) if path is None]
    if missing:
        message = (
            f"the files of {len(missing)} images are not where their dataset was made of them, for example of"
            f" {missing[0]}; index their folder with galr index --folder"
        )
        if options.image or options.query:
            raise DataError(message)
        print(message, file=sys.stderr)


def describe_result(options: Options, result: "QueryResult") -> list[str]:
    """Lines about a result beside its hits."""
    notes = []
    if unknown := result.unknown_words:
        words = ", ".join(printable(word, 60) for word in unknown[:SHOWN_WORDS])
        more = f" and {len(unknown) - SHOWN_WORDS} more" if len(unknown) > SHOWN_WORDS else ""
        notes.append(f"not in the model's vocabulary: {words}{more}")
    notes += [
        f"only the beginning of '{printable(text, 60)}' is read; it is longer than any sentence of the training"
        for text in result.cut
    ]
    if options.json:
        return notes
    if not result.hits:
        notes.append(f"no tile has a cosine of at least {options.min_score}; lower --min-score")
    merged = sum(len(hit.merged) for hit in result.hits)
    if merged:
        tiles = "tile was" if merged == 1 else "tiles were"
        notes.append(f"{merged} near-identical {tiles} merged into these; --no-merge lists each")
    return notes


def write_files(options: Options, index: "Index", results: "Sequence[QueryResult]") -> None:
    """Write the page and the footprints, whichever are wanted."""
    from galr.io.atomic import atomic_write

    if options.html is not None:
        from galr.search.page import render_page

        page = render_page(index, results)
        with atomic_write(options.html) as partial:
            partial.write_text(page, encoding="utf-8")
    if options.geojson is not None:
        from galr.search.geojson import footprints
        from galr.search.workflow_files import ImageFiles

        tiles = footprints(results, ImageFiles(index).path_of)
        with atomic_write(options.geojson) as partial:
            partial.write_text(tiles.text, encoding="utf-8")
        if tiles.num_unplaced:
            print(
                f"{options.geojson}: {tiles.num_unplaced} of {tiles.num_tiles} tiles are left out, since their"
                " images have no coordinates, or none in a known reference system",
                file=sys.stderr,
            )


def answer_queries(options: Options) -> Iterator[tuple["Index", "QueryResult"]]:
    """Answer the image, the query, or every line of a session.

    Yields:
        The index that answered, and the result.
    """
    from galr.search.index import TEXT_ENCODER, open_index
    from galr.search.query import QueryResult, search
    from galr.search.text_query import read_text_encoder

    rerank = options.query_rerank()  # a mistake in it is not one of each line
    index = open_index(options.index)
    if options.image is not None:
        pixels = index.query_pixels(options.bands, options.range)
        hits = search(
            index,
            embed_image(options, index, options.image, pixels),
            options.k,
            None,
            min_score=options.min_score,
            merge=options.merge,
        )
        yield index, QueryResult(options.image.name, options.image, [], "none", hits, pixels)
        return
    encoder = read_text_encoder(options.index / TEXT_ENCODER)
    if options.sentences is not None:
        yield index, search_sentences(options, index, encoder, options.sentences, rerank)
        return
    for line in read_lines(commands=not options.json):
        try:
            if not index.is_current():
                index = open_index(options.index)
                encoder = read_text_encoder(options.index / TEXT_ENCODER)
            yield index, search_sentences(options, index, encoder, line, rerank)
        except GalrError as error:  # a session continues after a line that cannot be answered
            print(f"galr: {type(error).__name__}: {error}", file=sys.stderr)
            if options.json:  # a program that sends lines waits for an answer to each
                print(json.dumps({"query": line, "error": str(error)}), flush=True)


def search_sentences(
    options: Options,
    index: "Index",
    encoder: "TextEncoder",
    query: str,
    rerank: "QueryRerank | None",
) -> "QueryResult":
    """Answer a query of one or more sentences."""
    from galr.search.query import QueryResult, search

    hits = search(
        index,
        encoder.embed(query),
        options.k,
        rerank,
        min_score=options.min_score,
        merge=options.merge,
    )
    unknown, cut = encoder.unknown_words(query), encoder.cut_sentences(query)
    return QueryResult(query, None, unknown, options.rerank, hits, cut=cut)


def embed_image(
    options: Options, index: "Index", image: Path, pixels: PixelOptions
) -> "np.ndarray":
    """Embed an image with the model that made the index: (embed_dim,) float32."""
    from galr.io.pixel_values import ReadingSummary
    from galr.search.index import check_run_folder

    run = options.run or index.resolve(index.manifest["model"]["run"])
    check_run_folder(run, index.folder)
    from galr.search.tile_encoder import embed_query_image  # loads the whole model

    readings = ReadingSummary()
    embedding = embed_query_image(
        image, index, run, options.detector, options.weights, options.device, pixels, readings
    )
    for line in readings.lines():
        print(line, file=sys.stderr)
    return embedding
