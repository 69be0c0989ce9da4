"""Retrieved examples with their pictures: what one run found for some sentences and some pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from galr.errors import ShapeError
from galr.evaluate.metrics import random_metrics
from galr.report.examples import Direction, Scored, examples
from galr.report.graphs import Graphs
from galr.report.metrics import Result
from galr.report.pictures import Images, Picture, Regions, album
from galr.report.runs import Run

TOP = 5  # candidates listed for each query


@dataclass(frozen=True)
class Gallery:
    """Queries of both directions and what was found for them."""

    run: Run
    boxes_of: str | None  # the variant whose kept regions are drawn; None where none are
    seed: int  # of the draw
    sentences: Sequence[str]  # (sentences,) of the test split
    to_pictures: Direction  # queries are sentences
    to_sentences: Direction  # queries are pictures
    pictures: Mapping[int, Picture]  # by row of the test split's images
    colours: Mapping[str, int]  # of the classes drawn on them, by their number of boxes
    chance: float  # mR of a random order of this test split, percent


def shown_run(runs: Sequence[Run], leader: Result) -> Run:
    """The run whose examples are shown: the leader's variant, its first fold.

    Where the leader has no run among them, the first run of all.
    """
    return min((run for run in runs if run.variant == leader.variant), default=min(runs))


def drawn_variant(shown: str, graphs: Mapping[str, Graphs]) -> str | None:
    """The variant whose kept regions are drawn.

    Args:
        shown: the variant whose examples are shown. If it looks at no regions, those of the first
            variant that says which ones it keeps stand in.
        graphs: by variant.

    Returns:
        None where nothing says which regions were kept.
    """
    told = [name for name, each in graphs.items() if not each.imported]
    if shown in graphs:
        return shown if shown in told else None
    return next(iter(told), None)


def gallery(
    run: Run,
    scored: Scored,
    images: Images,
    regions: Regions,
    graphs: Mapping[str, Graphs],
    *,
    count: int,
    seed: int,
) -> Gallery:
    """Draw the examples of a run and make their pictures.

    Args:
        run: which one.
        scored: what it gave the test split.
        images: all images of the dataset.
        regions: of the same images.
        graphs: of the same images, by variant.
        count: queries to draw in each direction.
        seed: of the draw.

    Raises:
        ShapeError: the regions are of other images, a test image is not in the dataset, or the
            similarities are not finite.
    """
    if regions.names != images.names:
        raise ShapeError("regions.h5 and dataset.h5 name different images; make the regions again")
    to_pictures, to_sentences = examples(scored, count=count, top=TOP, seed=seed)
    row_of = {name: row for row, name in enumerate(images.names)}
    unknown = [name for name in scored.names if name not in row_of]
    if unknown:
        raise ShapeError(
            f"the test image {unknown[0]} of {run} is not in the dataset; delete its similarity.h5"
            " and run snakemake again"
        )
    shown = _pictures_of(to_pictures) | {each.query for each in to_sentences.examples}
    boxes_of = drawn_variant(run.variant, graphs)
    kept = np.full((len(images.names), 0), -1) if boxes_of is None else graphs[boxes_of].kept
    made, colours = album([row_of[scored.names[image]] for image in shown], images, regions, kept)
    pictures = {image: made[row_of[scored.names[image]]] for image in shown}
    random = random_metrics(scored.image_of_sentence, len(scored.names))["mr"]
    return Gallery(
        run,
        boxes_of,
        seed,
        scored.sentences,
        to_pictures,
        to_sentences,
        pictures,
        colours,
        random,
    )


def _pictures_of(found: Direction) -> set[int]:
    """All images among the candidates of sentence queries."""
    listed = {one.index for each in found.examples for one in each.candidates}
    return listed | {each.beyond.index for each in found.examples if each.beyond}
