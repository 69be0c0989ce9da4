"""Retrieved examples with their pictures: what one run found for some sentences and some pictures.

Choose queries to show by a rule that nobody can bend, and list what was found for each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from galr.errors import ShapeError
from galr.evaluate.metrics import random_metrics
from galr.evaluate.ranks import compute_ranks
from galr.report.drea_summary import VariantGraphs
from galr.report.render_images import DatasetImages, DetectedRegions, PageImage, render_images
from galr.report.results import RunId, VariantResult

TOP_K = 5  # candidates listed for each query


@dataclass(frozen=True)
class RunScores:
    """What one run gave the test split."""

    similarity: np.ndarray  # (images, sentences) finite, larger is more alike
    names: Sequence[str]  # (images,)
    sentences: Sequence[str]  # (sentences,)
    image_of_sentence: np.ndarray  # (sentences,) row of the image each speaks of


@dataclass(frozen=True)
class ShownCandidate:
    """One answer in the order found."""

    index: int  # row of images or of sentences
    rank: int  # from 1
    similarity: float
    relevant: bool
    same_sentence: bool  # not the right one, yet it carries the very same sentence


@dataclass(frozen=True)
class Example:
    """One query, its first candidates, and where the best right one stands."""

    query: int
    rank: int  # from 1
    candidates: tuple[ShownCandidate, ...]
    best_relevant: ShownCandidate | None  # the best right one, where it is not among the candidates


@dataclass(frozen=True)
class DirectionExamples:
    """The examples of one direction, and how common each kind is."""

    examples: tuple[Example, ...]
    num_queries: int
    num_top1: int  # queries with a right answer in front


def draw_examples(
    scored: RunScores, *, count: int, top: int, seed: int
) -> tuple[DirectionExamples, DirectionExamples]:
    """Draw queries of both directions and list what was found for each.

    Half the queries are drawn among those with a right answer in front, half among the others;
    where one kind runs out the other fills up. Nothing but the seed decides which.
    A tie counts against us.

    Args:
        scored: what a run gave the test split.
        count: how many queries to draw in each direction.
        top: how many candidates to list for each.
        seed: of the draws.

    Returns:
        Sentences that ask for their picture, and pictures that ask for their sentences.

    Raises:
        ShapeError: the similarities do not belong to the sentences, or are not finite.
    """
    found = compute_ranks(scored.similarity, scored.image_of_sentence)
    owners = scored.image_of_sentence
    images = np.arange(len(scored.names))
    texts = np.unique(list(scored.sentences), return_inverse=True)[1]  # equal words, equal number

    def sentence(query: int) -> Example:
        twin = np.isin(images, owners[texts == texts[query]])
        return make_example(query, scored.similarity[:, query], images == owners[query], twin, top)

    def picture(query: int) -> Example:
        own = owners == query
        return make_example(query, scored.similarity[query], own, np.isin(texts, texts[own]), top)

    return (
        _direction_examples(
            found.t2i == 0, [sentence(q) for q in draw_queries(found.t2i == 0, count, seed)]
        ),
        _direction_examples(
            found.i2t == 0, [picture(q) for q in draw_queries(found.i2t == 0, count, seed)]
        ),
    )


def draw_queries(first: np.ndarray, count: int, seed: int) -> list[int]:
    """Draw queries, right ones before wrong ones.

    Args:
        first: (queries,) bool, a right answer is in front.
        count: how many to draw in all, half of each kind, an odd one right.
        seed: of the draw.

    Returns:
        Query numbers, right ones first, each kind ascending; fewer than `count` if there are fewer.
    """
    random = np.random.default_rng(seed)
    right = random.permutation(np.flatnonzero(first))
    wrong = random.permutation(np.flatnonzero(~first))
    rights = min(len(right), max((count + 1) // 2, count - len(wrong)))
    return sorted(right[:rights].tolist()) + sorted(wrong[: count - rights].tolist())


def make_example(
    query: int, similarity: np.ndarray, relevant: np.ndarray, twin: np.ndarray, top: int
) -> Example:
    """List one query's candidates, wrong before right where they tie.

    Args:
        query: its number.
        similarity: (candidates,) float.
        relevant: (candidates,) bool, at least one True.
        twin: (candidates,) bool, carries the very same sentence.
        top: how many to list.
    """
    order = np.lexsort((relevant, -similarity))
    rank = int(np.flatnonzero(relevant[order])[0])

    def candidate(place: int) -> ShownCandidate:
        index = int(order[place])
        right = bool(relevant[index])
        return ShownCandidate(
            index, place + 1, float(similarity[index]), right, bool(twin[index]) and not right
        )

    return Example(
        query,
        rank + 1,
        tuple(candidate(place) for place in range(min(top, len(order)))),
        candidate(rank) if rank >= top else None,
    )


def _direction_examples(first: np.ndarray, shown: list[Example]) -> DirectionExamples:
    """Put the examples beside how common their kind is."""
    return DirectionExamples(tuple(shown), len(first), int(first.sum()))


@dataclass(frozen=True)
class ExampleSet:
    """Queries of both directions and what was found for them."""

    run: RunId
    boxes_variant: str | None  # the variant whose kept regions are drawn; None where none are
    seed: int  # of the draw
    sentences: Sequence[str]  # (sentences,) of the test split
    t2i: DirectionExamples  # queries are sentences
    i2t: DirectionExamples  # queries are pictures
    images: Mapping[int, PageImage]  # by row of the test split's images
    colours: Mapping[str, int]  # of the classes drawn on them, by their number of boxes
    random_mr: float  # mR of a random order of this test split, percent


def select_run(runs: Sequence[RunId], leader: VariantResult) -> RunId:
    """The run whose examples are shown: the leader's variant, its first fold.

    Where the leader has no run among them, the first run of all.
    """
    return min((run for run in runs if run.variant == leader.variant), default=min(runs))


def select_boxes_variant(shown: str, graphs: Mapping[str, VariantGraphs]) -> str | None:
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


def make_example_set(
    run: RunId,
    scored: RunScores,
    images: DatasetImages,
    regions: DetectedRegions,
    graphs: Mapping[str, VariantGraphs],
    *,
    count: int,
    seed: int,
) -> ExampleSet:
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
    to_pictures, to_sentences = draw_examples(scored, count=count, top=TOP_K, seed=seed)
    row_of = {name: row for row, name in enumerate(images.names)}
    unknown = [name for name in scored.names if name not in row_of]
    if unknown:
        raise ShapeError(
            f"the test image {unknown[0]} of {run} is not in the dataset; delete its similarity.h5"
            " and run snakemake again"
        )
    shown = _candidate_images(to_pictures) | {each.query for each in to_sentences.examples}
    boxes_of = select_boxes_variant(run.variant, graphs)
    kept = (
        np.full((len(images.names), 0), -1) if boxes_of is None else graphs[boxes_of].region_index
    )
    made, colours = render_images(
        [row_of[scored.names[image]] for image in shown], images, regions, kept
    )
    pictures = {image: made[row_of[scored.names[image]]] for image in shown}
    random = random_metrics(scored.image_of_sentence, len(scored.names))["mr"]
    return ExampleSet(
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


def _candidate_images(found: DirectionExamples) -> set[int]:
    """All images among the candidates of sentence queries."""
    listed = {one.index for each in found.examples for one in each.candidates}
    return listed | {each.best_relevant.index for each in found.examples if each.best_relevant}
