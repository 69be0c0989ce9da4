"""A page of what was found: one self-contained HTML text, thumbnails inside it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from galr import store
from galr.errors import GalrError
from galr.report.pictures import address
from galr.report.templates import environment
from galr.search.answers import Answer, Answered, centre, source_of
from galr.search.index import Index
from galr.search.pictures import opened
from galr.search.places import Window

TEMPLATES = (
    Path(__file__).parent,
    Path(__file__).parents[1] / "report",
)  # its style is the report's


@dataclass(frozen=True)
class Card:
    """An answer as it is shown.

    answer: what was found.
    thumbnail: address that holds the tile's bytes; None where the picture is not there any more.
    centre: coordinates with their system; empty where unknown.
    whole: whether the tile is all of its picture.
    """

    answer: Answer
    thumbnail: str | None
    centre: str
    whole: bool


@dataclass(frozen=True)
class Section:
    """A query and its cards.

    asked: address that holds the bytes of the picture that asked; None where a sentence did.
    """

    answered: Answered
    asked: str | None
    cards: Sequence[Card]


def render(index: Index, queries: Sequence[Answered]) -> str:
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
            Section(
                answered,
                None if answered.image is None else _shown(answered.image, None),
                [_card(answer, thumbnails) for answer in answered.answers],
            )
            for answered in queries
        ]
    template = environment(*TEMPLATES).get_template("page.html")
    return template.render(sections=sections, about=index.about)


class Thumbnails:
    """Tiles of an index as small pictures, read where they came from."""

    def __init__(self, index: Index, stack: ExitStack) -> None:
        """Begin with no file open; datasets that are opened are closed with the stack."""
        self._index = index
        self._stack = stack
        self._datasets: dict[Path, tuple[h5py.File, dict[str, int]]] = {}

    def of(self, answer: Answer) -> str | None:
        """A tile as an address that holds its bytes; None where its picture cannot be read any more."""
        kind, path = source_of(self._index, answer.named)
        try:
            if kind == "dataset":
                return address(self._stored(path, answer.named.name))
            return _shown(path / answer.named.name, answer.named.window)
        except (GalrError, KeyError, OSError):  # moved, damaged or replaced since it was indexed
            return None

    def _stored(self, path: Path, name: str) -> np.ndarray:
        """The pixels of a dataset's image."""
        if path not in self._datasets:
            file = self._stack.enter_context(store.reading(path, store.DATASET))
            rows = {each: row for row, each in enumerate(store.texts(file["names"]))}
            self._datasets[path] = (file, rows)
        file, rows = self._datasets[path]
        return file["images"][rows[name]]


def _shown(path: Path, window: Window | None) -> str:
    """A window of a picture, or all of it, as an address that holds its bytes."""
    with opened(path) as picture:
        return address(np.asarray(picture.read(window or Window(0, 0, *picture.size))))


def _card(answer: Answer, thumbnails: Thumbnails) -> Card:
    """Put together what is shown of an answer."""
    named = answer.named
    whole = (named.window.width, named.window.height) == named.size
    return Card(answer, thumbnails.of(answer), centre(named), whole)
