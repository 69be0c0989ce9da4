"""A page of what was found: one self-contained HTML text, thumbnails inside it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from galr import store
from galr.errors import GalrError
from galr.io.html import template_environment
from galr.report.pictures import address
from galr.search.index import Index
from galr.search.query import Hit, QueryResult, tile_centre, tile_source
from galr.search.rasters import Window, open_image

TEMPLATES = (
    Path(__file__).parent,
    Path(__file__).parents[1] / "report",
)  # its style is the report's


@dataclass(frozen=True)
class HitCard:
    """An answer as it is shown.

    answer: what was found.
    thumbnail: address that holds the tile's bytes; None where the picture is not there any more.
    centre: coordinates with their system; empty where unknown.
    whole: whether the tile is all of its picture.
    """

    hit: Hit
    thumbnail: str | None
    centre: str
    is_full_image: bool


@dataclass(frozen=True)
class QuerySection:
    """A query and its cards.

    asked: address that holds the bytes of the picture that asked; None where a sentence did.
    """

    result: QueryResult
    query_image: str | None
    cards: Sequence[HitCard]


def render_page(index: Index, queries: Sequence[QueryResult]) -> str:
    """Write the page of some queries.

    Args:
        index: that was asked.
        queries: what was found, in the order of asking.

    Returns:
        HTML that needs no other file and no network.
    """
    with ExitStack() as stack:
        thumbnails = Thumbnails(index, stack)
        sections = [
            QuerySection(
                answered,
                None if answered.image is None else _image_data_uri(answered.image, None),
                [_make_card(answer, thumbnails) for answer in answered.hits],
            )
            for answered in queries
        ]
    template = template_environment(*TEMPLATES).get_template("page.html")
    return template.render(sections=sections, about=index.manifest)


class Thumbnails:
    """Tiles of an index as small pictures, read where they came from."""

    def __init__(self, index: Index, stack: ExitStack) -> None:
        """Begin with no file open; datasets that are opened are closed with the stack."""
        self._index = index
        self._stack = stack
        self._datasets: dict[Path, tuple[h5py.File, dict[str, int]]] = {}

    def data_uri(self, answer: Hit) -> str | None:
        """A tile as an address that holds its bytes; None where its picture cannot be read any more."""
        kind, path = tile_source(self._index, answer.tile)
        try:
            if kind == "dataset":
                return address(self._stored_pixels(path, answer.tile.name))
            return _image_data_uri(path / answer.tile.name, answer.tile.window)
        except (GalrError, KeyError, OSError):  # moved, damaged or replaced since it was indexed
            return None

    def _stored_pixels(self, path: Path, name: str) -> np.ndarray:
        """The pixels of a dataset's image."""
        if path not in self._datasets:
            file = self._stack.enter_context(store.reading(path, store.DATASET))
            rows = {each: row for row, each in enumerate(store.texts(file["names"]))}
            self._datasets[path] = (file, rows)
        file, rows = self._datasets[path]
        return file["images"][rows[name]]


def _image_data_uri(path: Path, window: Window | None) -> str:
    """A window of a picture, or all of it, as an address that holds its bytes."""
    with open_image(path) as picture:
        return address(np.asarray(picture.read(window or Window(0, 0, *picture.size))))


def _make_card(hit: Hit, thumbnails: Thumbnails) -> HitCard:
    """Put together what is shown of an answer."""
    named = hit.tile
    whole = (named.window.width, named.window.height) == named.size
    return HitCard(hit, thumbnails.data_uri(hit), tile_centre(named), whole)
