"""What DREA made of the regions: a row for every way in which the variants turned them into graphs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from galr.errors import ShapeError
from galr.report.origin import flat
from galr.report.pictures import Regions


@dataclass(frozen=True, eq=False)
class Graphs:
    """What the report needs of one variant's graphs."""

    names: list[str]  # (images,) as in the regions
    mask: np.ndarray  # (images, n) bool, False where a row is padding
    kept: np.ndarray  # (images, n) number within the image's regions; -1 where padding or not known
    redundant: np.ndarray  # (images,) regions dropped as redundant
    settings: Mapping[str, Any]  # of whatever made them
    content: str  # the same for graphs whose every number is the same; see `content`

    @property
    def imported(self) -> bool:
        """Whether they are the authors' own: which regions those were made of is not known."""
        return "published" in self.settings


@dataclass(frozen=True)
class Counts:
    """How many regions met which end, over all images; None where the graphs do not tell."""

    found: int | None
    weak: int | None  # below the least score
    redundant: int | None
    beyond: int | None  # past the first n
    kept: int
    an_image: float  # kept, mean over all images
    empty: int  # images whose graph has no region


@dataclass(frozen=True)
class Outcome:
    """The counts of one or more variants whose graphs are the same."""

    variants: tuple[str, ...]
    counts: Counts
    changes: str  # its settings that are other than the plain variant's, in words


@dataclass(frozen=True)
class Outcomes:
    """What came of the regions in every variant that looks at them."""

    rows: tuple[Outcome, ...]
    plain: str | None  # the first variant with graphs of DREA's; None where there is none
    settings: str  # of that variant, in words
    imported: bool  # whether some graphs are the authors' own


def content(tables: Iterable[np.ndarray]) -> str:
    """Hash tables so that two files can be compared without both in memory."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(f"{table.dtype} {table.shape} ".encode())
        digest.update(np.ascontiguousarray(table).data)
    return digest.hexdigest()


def outcomes(regions: Regions, graphs: Mapping[str, Graphs]) -> Outcomes:
    """Count what every variant's graphs made of the regions; variants with the same graphs share a row.

    Args:
        regions: the detections.
        graphs: by variant; none where no variant looks at regions.

    Raises:
        ShapeError: graphs are of other images, or account for other regions.
    """
    says = {name: flat(each.settings) for name, each in graphs.items()}
    plain = next((name for name, each in graphs.items() if not each.imported), None)
    base = {} if plain is None else says[plain]
    same: dict[tuple[str, Counts], list[str]] = {}
    for name, each in graphs.items():
        same.setdefault((each.content, counts(name, each, regions)), []).append(name)
    return Outcomes(
        tuple(
            Outcome(tuple(variants), found, _changes([says[name] for name in variants], base))
            for (_, found), variants in same.items()
        ),
        plain,
        in_words([base]),
        any(each.imported for each in graphs.values()),
    )


def counts(variant: str, graphs: Graphs, regions: Regions) -> Counts:
    """Count the ends of all regions in one variant's graphs.

    Args:
        variant: its name.
        graphs: its graphs. Where their settings tell no `least_score`, what was too weak cannot be
            told from what was beyond n.
        regions: the detections that they were made of.

    Raises:
        ShapeError: the graphs are of other images, or account for other regions.
    """
    if graphs.names != regions.names:
        raise ShapeError(
            f"the graphs of {variant} and regions.h5 name different images; delete the graphs.h5 of"
            f" {variant} and run snakemake again"
        )
    rows = graphs.mask.sum(axis=1)
    kept, empty = int(rows.sum()), int((rows == 0).sum())
    an_image = kept / max(len(rows), 1)
    if graphs.imported:
        return Counts(None, None, None, None, kept, an_image, empty)
    least = graphs.settings.get("least_score")
    weak = _below(regions, 0.0 if least is None else least)
    beyond = regions.each - weak - graphs.redundant - rows
    foreign = (beyond < 0) | (graphs.kept.max(axis=1, initial=-1) >= regions.each)
    if foreign.any():
        image = int(foreign.argmax())
        raise ShapeError(
            f"the graphs of {variant} account for {(regions.each - beyond)[image]} regions of image"
            f" {regions.names[image]}, the highest number {graphs.kept[image].max()}, but regions.h5 has"
            f" {regions.each[image]}, numbered from 0; make the graphs again from this regions.h5"
        )
    return Counts(
        found=len(regions.scores),
        weak=None if least is None else int(weak.sum()),
        redundant=int(graphs.redundant.sum()),
        beyond=None if least is None else int(beyond.sum()),
        kept=kept,
        an_image=an_image,
        empty=empty,
    )


def _below(regions: Regions, least_score: float) -> np.ndarray:
    """Count the regions of every image that DREA leaves out for their score, compared as it does."""
    weak = regions.scores.astype(np.float64) < least_score
    return np.bincount(regions.image[weak], minlength=len(regions.each))


def _changes(documents: Sequence[Mapping[str, str]], base: Mapping[str, str]) -> str:
    """Name the settings of a row that some variant of it has otherwise than the base."""
    keys = {key for each in documents for key in each if each[key] != base.get(key)}
    return in_words([{key: each[key] for key in each if key in keys} for each in documents])


def in_words(documents: Sequence[Mapping[str, str]]) -> str:
    """Name settings: `measure iou, no salience`; where documents differ, `measure cosine or iou`.

    Args:
        documents: settings as `galr.report.origin.flat` writes them.
    """
    keys = dict.fromkeys(key for document in documents for key in document)
    return ", ".join(
        _worded(key, list(dict.fromkeys(each[key] for each in documents if key in each)))
        for key in keys
    )


def _worded(key: str, values: Sequence[str]) -> str:
    """Name one setting and all its values."""
    name = key.replace("_", " ")
    switch = {"true": name, "false": f"no {name}"}
    if set(values) <= set(switch):
        return " or ".join(switch[value] for value in values)
    return f"{name} {' or '.join(values)}"
