"""What DREA made of the regions: a row for every way in which the variants turned them into graphs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from galr.errors import ShapeError
from galr.report.provenance_view import flatten
from galr.report.render_images import DetectedRegions


@dataclass(frozen=True, eq=False)
class VariantGraphs:
    """What the report needs of one variant's graphs."""

    names: list[str]  # (images,) as in the regions
    mask: np.ndarray  # (images, n) bool, False where a row is padding
    region_index: (
        np.ndarray
    )  # (images, n) number within the image's regions; -1 where padding or not known
    num_redundant: np.ndarray  # (images,) regions dropped as redundant
    settings: Mapping[str, Any]  # of whatever made them
    content_hash: str  # the same for graphs whose every number is the same; see `content`

    @property
    def imported(self) -> bool:
        """Whether they are the authors' own: which regions those were made of is not known."""
        return "published" in self.settings


@dataclass(frozen=True)
class RegionCounts:
    """How many regions met which end, over all images; None where the graphs do not tell."""

    detected: int | None
    low_score: int | None  # below the least score
    redundant: int | None
    over_limit: int | None  # past the first n
    kept: int
    mean_per_image: float  # kept, mean over all images
    num_empty: int  # images whose graph has no region


@dataclass(frozen=True)
class DreaRow:
    """The counts of one or more variants whose graphs are the same."""

    variants: tuple[str, ...]
    counts: RegionCounts
    changed_settings: str  # its settings that are other than the plain variant's, in words


@dataclass(frozen=True)
class DreaRows:
    """What came of the regions in every variant that looks at them."""

    rows: tuple[DreaRow, ...]
    baseline: str | None  # the first variant with graphs of DREA's; None where there is none
    settings: str  # of that variant, in words
    imported: bool  # whether some graphs are the authors' own


def hash_tables(tables: Iterable[np.ndarray]) -> str:
    """Hash tables so that two files can be compared without both in memory."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(f"{table.dtype} {table.shape} ".encode())
        digest.update(np.ascontiguousarray(table).data)
    return digest.hexdigest()


def make_drea_rows(regions: DetectedRegions, graphs: Mapping[str, VariantGraphs]) -> DreaRows:
    """Count what every variant's graphs made of the regions; variants with the same graphs share a row.

    Args:
        regions: the detections.
        graphs: by variant; none where no variant looks at regions.

    Raises:
        ShapeError: graphs are of other images, or account for other regions.
    """
    says = {name: flatten(each.settings) for name, each in graphs.items()}
    plain = next((name for name, each in graphs.items() if not each.imported), None)
    base = {} if plain is None else says[plain]
    same: dict[tuple[str, RegionCounts], list[str]] = {}
    for name, each in graphs.items():
        same.setdefault((each.content_hash, count_regions(name, each, regions)), []).append(name)
    return DreaRows(
        tuple(
            DreaRow(
                tuple(variants), found, _changed_settings([says[name] for name in variants], base)
            )
            for (_, found), variants in same.items()
        ),
        plain,
        format_settings([base]),
        any(each.imported for each in graphs.values()),
    )


def count_regions(variant: str, graphs: VariantGraphs, regions: DetectedRegions) -> RegionCounts:
    """Count the ends of all regions in one variant's graphs.

    Args:
        variant: its name.
        graphs: its graphs. Where their settings have no `min_score`, low scores cannot be
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
        return RegionCounts(None, None, None, None, kept, an_image, empty)
    min_score = graphs.settings.get("min_score")
    low_score = _count_low_score(regions, 0.0 if min_score is None else min_score)
    beyond = regions.counts - low_score - graphs.num_redundant - rows
    foreign = (beyond < 0) | (graphs.region_index.max(axis=1, initial=-1) >= regions.counts)
    if foreign.any():
        image = int(foreign.argmax())
        raise ShapeError(
            f"the graphs of {variant} account for {(regions.counts - beyond)[image]} regions of image"
            f" {regions.names[image]}, the highest number {graphs.region_index[image].max()}, but regions.h5 has"
            f" {regions.counts[image]}, numbered from 0; make the graphs again from this regions.h5"
        )
    return RegionCounts(
        detected=len(regions.scores),
        low_score=None if min_score is None else int(low_score.sum()),
        redundant=int(graphs.num_redundant.sum()),
        over_limit=None if min_score is None else int(beyond.sum()),
        kept=kept,
        mean_per_image=an_image,
        num_empty=empty,
    )


def _count_low_score(regions: DetectedRegions, min_score: float) -> np.ndarray:
    """Count the regions of every image that DREA leaves out for their score, compared as it does."""
    low = regions.scores.astype(np.float64) < min_score
    return np.bincount(regions.image[low], minlength=len(regions.counts))


def _changed_settings(documents: Sequence[Mapping[str, str]], base: Mapping[str, str]) -> str:
    """Name the settings of a row that some variant of it has otherwise than the base."""
    keys = {key for each in documents for key in each if each[key] != base.get(key)}
    return format_settings([{key: each[key] for key in each if key in keys} for each in documents])


def format_settings(documents: Sequence[Mapping[str, str]]) -> str:
    """Name settings: `measure iou, no salience`; where documents differ, `measure cosine or iou`.

    Args:
        documents: settings as `galr.report.provenance_view.flat` writes them.
    """
    keys = dict.fromkeys(key for document in documents for key in document)
    return ", ".join(
        _format_setting(key, list(dict.fromkeys(each[key] for each in documents if key in each)))
        for key in keys
    )


def _format_setting(key: str, values: Sequence[str]) -> str:
    """Name one setting and all its values."""
    name = key.replace("_", " ")
    switch = {"true": name, "false": f"no {name}"}
    if set(values) <= set(switch):
        return " or ".join(switch[value] for value in values)
    return f"{name} {' or '.join(values)}"
