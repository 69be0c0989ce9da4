"""The page of query results: one self-contained HTML text with thumbnails inside."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galr.errors import GalrError
from galr.io.formats import Dataset
from galr.io.html import data_uri, template_environment
from galr.io.images import full_window, open_image
from galr.io.pixel_options import PixelOptions
from galr.io.windows import Window
from galr.search.index import Index
from galr.search.query import Hit, QueryResult, tile_centre, tile_source


@dataclass(frozen=True)
class HitCard:
    """A hit as the page shows it.

    Attributes:
        hit: the hit.
        thumbnail: data URI of the tile; None if its image cannot be read any more.
        centre: coordinates of the tile's centre and their reference system; empty where unknown.
    """

    hit: Hit
    thumbnail: str | None
    centre: str


@dataclass(frozen=True)
class QuerySection:
    """A query as the page shows it.

    Attributes:
        result: the query and its hits.
        query_image: data URI of the image that is the query; None for a sentence.
        cards: of the hits, in order.
    """

    result: QueryResult
    query_image: str | None
    cards: Sequence[HitCard]


def render_page(index: Index, results: Sequence[QueryResult]) -> str:
    """Render the results of some queries.

    Args:
        index: that was queried.
        results: in the order to show, at least one.

    Returns:
        HTML that needs no other file and no network.

    Raises:
        DataError: an image that is a query cannot be read.
    """
    with ExitStack() as stack:
        thumbnails = Thumbnails(index, stack)
        sections = [
            QuerySection(
                result,
                None
                if result.image is None
                else _image_data_uri(result.image, None, result.pixels),
                [
                    HitCard(hit, thumbnails.tile_data_uri(hit), tile_centre(hit.tile))
                    for hit in result.hits
                ],
            )
            for result in results
        ]
    template = template_environment(Path(__file__).parent).get_template("page.html")
    return template.render(sections=sections, manifest=index.manifest)


class Thumbnails:
    """Reads the tiles of an index from their sources, as small images."""

    def __init__(self, index: Index, stack: ExitStack) -> None:
        """Prepare to read.

        Args:
            index: whose tiles are read.
            stack: closes the datasets that are opened.
        """
        self._index = index
        self._stack = stack
        self._datasets: dict[Path, tuple[Dataset, dict[str, int]]] = {}

    def tile_data_uri(self, hit: Hit) -> str | None:
        """The tile of a hit as a data URI; None if its image cannot be read any more."""
        kind, path = tile_source(self._index, hit.tile)
        try:
            if kind == "dataset":
                return data_uri(self._stored_pixels(path, hit.tile.name))
            return _image_data_uri(
                path / hit.tile.name, hit.tile.window, self._index.source_pixels(hit.tile.source)
            )
        except (GalrError, KeyError, OSError):  # moved, damaged or replaced since it was indexed
            return None

    def _stored_pixels(self, path: Path, name: str) -> np.ndarray:
        """An image of a dataset: (size, size, 3) uint8."""
        if path not in self._datasets:
            dataset = self._stack.enter_context(Dataset.open(path))
            rows = {name: row for row, name in enumerate(dataset.names)}
            self._datasets[path] = (dataset, rows)
        dataset, rows = self._datasets[path]
        return dataset.images[rows[name]]


def _image_data_uri(path: Path, window: Window | None, pixels: PixelOptions) -> str:
    """A window of an image, or all of it for None, as a data URI."""
    with open_image(path, pixels) as image:
        return data_uri(np.asarray(image.read(window or full_window(image))))
