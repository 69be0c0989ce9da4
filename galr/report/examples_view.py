"""Retrieved examples: queries of one run that are drawn at random, and the candidates that rank first for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galr.errors import ShapeError
from galr.evaluate.metrics import random_metrics
from galr.evaluate.ranks import compute_ranks
from galr.report.drea_summary import VariantGraphs
from galr.report.render_images import DatasetImages, DetectedRegions, PageImage, render_images
from galr.report.results import RunId, VariantResult
from galr.targets import make_hint

TOP_K = 5  # candidates listed for each query


@dataclass(frozen=True)
class RunScores:
    """The similarity matrix of one run on the test split.

    Attributes:
        similarity: (images, sentences) float, finite.
        names: (images,) names.
        sentences: (sentences,) text.
        image_of_sentence: (sentences,) int, row of each sentence's image.
        path: of similarity.h5.
    """

    similarity: np.ndarray
    names: Sequence[str]
    sentences: Sequence[str]
    image_of_sentence: np.ndarray
    path: Path


@dataclass(frozen=True)
class ShownCandidate:
    """A candidate in the list of a query.

    Attributes:
        index: row of the image or of the sentence.
        rank: from 1.
        similarity: to the query.
        relevant: whether image and sentence belong together.
        same_sentence: whether it is not relevant, but has the same sentence as a relevant one.
    """

    index: int
    rank: int
    similarity: float
    relevant: bool
    same_sentence: bool


@dataclass(frozen=True)
class Example:
    """A query and its first candidates.

    Attributes:
        query: row of the sentence or of the image.
        rank: of the best relevant candidate, from 1.
        candidates: the first ones.
        best_relevant: the best relevant candidate, where it is not among the first ones.
    """

    query: int
    rank: int
    candidates: tuple[ShownCandidate, ...]
    best_relevant: ShownCandidate | None


@dataclass(frozen=True)
class DirectionExamples:
    """The examples of one direction.

    Attributes:
        examples: those with a relevant candidate at rank 1 first.
        num_queries: number of queries of the test split.
        num_top1: number of these with a relevant candidate at rank 1.
    """

    examples: tuple[Example, ...]
    num_queries: int
    num_top1: int


@dataclass(frozen=True)
class ExampleSet:
    """The examples of both directions, and the images that they show.

    Attributes:
        run: the run.
        boxes_variant: the variant whose kept regions are drawn; None where none are drawn.
        seed: with which the queries were drawn.
        sentences: (sentences,) text, of the test split.
        t2i: examples with a sentence as query.
        i2t: examples with an image as query.
        images: by row of the test split's images.
        colours: of the classes drawn on the images, the most frequent class first.
        random_mr: mR of a random order of this test split, percent.
    """

    run: RunId
    boxes_variant: str | None
    seed: int
    sentences: Sequence[str]
    t2i: DirectionExamples
    i2t: DirectionExamples
    images: Mapping[int, PageImage]
    colours: Mapping[str, int]
    random_mr: float


def draw_examples(
    scores: RunScores, *, count: int, top_k: int, seed: int
) -> tuple[DirectionExamples, DirectionExamples]:
    """Draw queries of both directions and list their candidates.

    Half the queries are drawn among those with a relevant candidate at rank 1, half among the others, see
    `draw_queries`. Of equally similar candidates, relevant ones rank last.

    Args:
        scores: of the run.
        count: number of queries to draw in each direction.
        top_k: number of candidates to list for each.
        seed: of the draws.

    Returns:
        The examples with a sentence as query, and those with an image as query.

    Raises:
        ShapeError: the matrix does not match the sentences, or a similarity is not finite.
    """
    ranks = compute_ranks(scores.similarity, scores.image_of_sentence)
    image_of_sentence = scores.image_of_sentence
    images = np.arange(len(scores.names))
    # equal sentences have the same number
    texts = np.unique(list(scores.sentences), return_inverse=True)[1]

    def sentence_example(query: int) -> Example:
        same_sentence = np.isin(images, image_of_sentence[texts == texts[query]])
        relevant = images == image_of_sentence[query]
        return make_example(query, scores.similarity[:, query], relevant, same_sentence, top_k)

    def image_example(query: int) -> Example:
        relevant = image_of_sentence == query
        same_sentence = np.isin(texts, texts[relevant])
        return make_example(query, scores.similarity[query], relevant, same_sentence, top_k)

    directions = []
    for direction_ranks, direction_example in (
        (ranks.t2i, sentence_example),
        (ranks.i2t, image_example),
    ):
        top1 = direction_ranks == 0
        examples = tuple(direction_example(query) for query in draw_queries(top1, count, seed))
        directions.append(DirectionExamples(examples, len(top1), int(top1.sum())))
    return directions[0], directions[1]


def draw_queries(top1: np.ndarray, count: int, seed: int) -> list[int]:
    """Draw queries, half of them with a relevant candidate at rank 1.

    Where one half has too few queries, more are drawn of the other. The draw depends on the seed alone.

    Args:
        top1: (queries,) bool, whether a relevant candidate is at rank 1.
        count: number of queries; of an odd number, one more has a relevant candidate at rank 1.
        seed: of the draw.

    Returns:
        Rows of queries, first those with a relevant candidate at rank 1, in ascending order within each half; fewer
        than `count` if there are fewer.
    """
    random = np.random.default_rng(seed)
    correct = random.permutation(np.flatnonzero(top1))
    wrong = random.permutation(np.flatnonzero(~top1))
    num_correct = min(len(correct), max((count + 1) // 2, count - len(wrong)))
    return sorted(correct[:num_correct].tolist()) + sorted(wrong[: count - num_correct].tolist())


def make_example(
    query: int,
    similarity: np.ndarray,
    relevant: np.ndarray,
    same_sentence: np.ndarray,
    top_k: int,
) -> Example:
    """List a query's candidates; of equally similar ones, relevant ones rank last.

    Args:
        query: row of the query.
        similarity: (candidates,) float.
        relevant: (candidates,) bool, at least one True.
        same_sentence: (candidates,) bool, whether a candidate has the same sentence as a relevant one.
        top_k: number of candidates to list.
    """
    order = np.lexsort((relevant, -similarity))
    best_rank = int(np.flatnonzero(relevant[order])[0])

    def candidate(rank: int) -> ShownCandidate:
        index = int(order[rank])
        is_relevant = bool(relevant[index])
        return ShownCandidate(
            index,
            rank + 1,
            float(similarity[index]),
            is_relevant,
            bool(same_sentence[index]) and not is_relevant,
        )

    return Example(
        query,
        best_rank + 1,
        tuple(candidate(rank) for rank in range(min(top_k, len(order)))),
        candidate(best_rank) if best_rank >= top_k else None,
    )


def select_run(runs: Sequence[RunId], chosen: VariantResult) -> RunId:
    """Select the run whose examples are shown: the first fold of the chosen result's variant.

    Where the chosen result has no run, it is the first run of all.
    """
    return min((run for run in runs if run.variant == chosen.variant), default=min(runs))


def select_boxes_variant(shown: str, graphs: Mapping[str, VariantGraphs]) -> str | None:
    """Select the variant whose kept regions are drawn.

    Args:
        shown: the variant whose examples are shown. Where it has no graphs, the first variant whose graphs are
            not imported is selected instead.
        graphs: by variant.

    Returns:
        None where the kept regions are not known.
    """
    not_imported = [variant for variant, each in graphs.items() if not each.imported]
    if shown in graphs:
        return shown if shown in not_imported else None
    return next(iter(not_imported), None)


def make_example_set(
    run: RunId,
    scores: RunScores,
    images: DatasetImages,
    regions: DetectedRegions,
    graphs: Mapping[str, VariantGraphs],
    *,
    count: int,
    seed: int,
) -> ExampleSet:
    """Draw the examples of a run and render their images.

    Args:
        run: the run.
        scores: of the run.
        images: all images of the dataset.
        regions: the detections of all images.
        graphs: of all images, by variant.
        count: number of queries to draw in each direction.
        seed: of the draw.

    Raises:
        ShapeError: the regions belong to other images, a test image is not in the dataset, the matrix does not
            match the sentences, or a similarity is not finite.
    """
    if regions.names != images.names:
        raise ShapeError(
            "regions.h5 and dataset.h5 name different images; detect the regions of this dataset again"
        )
    t2i, i2t = draw_examples(scores, count=count, top_k=TOP_K, seed=seed)
    row_of = {name: row for row, name in enumerate(images.names)}
    unknown = [name for name in scores.names if name not in row_of]
    if unknown:
        raise ShapeError(
            f"the test image {unknown[0]} of {run} is not in dataset.h5;"
            f" {make_hint(scores.path, 'galr similarity', force=True)}"
        )
    boxes_variant = select_boxes_variant(run.variant, graphs)
    region_index = (
        np.full((len(images.names), 0), -1)
        if boxes_variant is None
        else graphs[boxes_variant].region_index
    )
    shown = _candidate_images(t2i) | {example.query for example in i2t.examples}
    rendered, colours = render_images(
        [row_of[scores.names[image]] for image in shown], images, regions, region_index
    )
    return ExampleSet(
        run,
        boxes_variant,
        seed,
        scores.sentences,
        t2i,
        i2t,
        {image: rendered[row_of[scores.names[image]]] for image in shown},
        colours,
        random_metrics(scores.image_of_sentence, len(scores.names))["mr"],
    )


def _candidate_images(direction: DirectionExamples) -> set[int]:
    """Collect the rows of all images that are shown as candidates."""
    listed = {candidate.index for each in direction.examples for candidate in each.candidates}
    return listed | {
        each.best_relevant.index for each in direction.examples if each.best_relevant is not None
    }
