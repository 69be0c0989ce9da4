"""Counts of the regions that the graphs of each variant keep and drop; variants with the same graphs share a row."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.errors import ShapeError
from galr.report.provenance_view import flatten
from galr.report.render_images import DetectedRegions
from galr.targets import make_hint


@dataclass(frozen=True, eq=False)
class VariantGraphs:
    """The parts of one variant's graphs.h5 that the report reads.

    Attributes:
        names: (images,) names, as in regions.h5.
        mask: (images, n) bool, False where a row is padding.
        region_index: (images, n) int, number of the region within its image; -1 where padding or not known.
        num_redundant: (images,) int, number of regions dropped as redundant.
        settings: with which the graphs were built.
        content_hash: see `hash_tables`.
        path: of graphs.h5.
    """

    names: list[str]
    mask: np.ndarray
    region_index: np.ndarray
    num_redundant: np.ndarray
    settings: Mapping[str, Any]
    content_hash: str
    path: Path

    @property
    def imported(self) -> bool:
        """Whether the graphs are the published matrices; their regions are not known."""
        return "published" in self.settings


@dataclass(frozen=True)
class RegionCounts:
    """Counts over all images; None where the graphs do not determine them.

    Attributes:
        detected: number of detected regions.
        low_score: number of regions below the minimum score.
        redundant: number of regions dropped as redundant.
        over_limit: number of regions dropped because the graph already had `max_regions`.
        kept: number of regions in the graphs.
        mean_per_image: mean number of regions kept over all images.
        num_empty: number of images whose graph has no region.
    """

    detected: int | None
    low_score: int | None
    redundant: int | None
    over_limit: int | None
    kept: int
    mean_per_image: float
    num_empty: int


@dataclass(frozen=True)
class DreaRow:
    """The counts of the variants whose graphs are the same.

    Attributes:
        variants: their names.
        counts: their counts.
        changed_settings: text of the settings in which they differ from the baseline.
    """

    variants: tuple[str, ...]
    counts: RegionCounts
    changed_settings: str


@dataclass(frozen=True)
class DreaRows:
    """The table of all variants that have graphs.

    Attributes:
        rows: one for each set of equal graphs.
        baseline: the first variant whose graphs are not imported; None where there is none.
        settings: text of the baseline's settings.
        imported: whether a variant has imported graphs.
    """

    rows: tuple[DreaRow, ...]
    baseline: str | None
    settings: str
    imported: bool


def hash_tables(tables: Iterable[np.ndarray]) -> str:
    """Hash the types, shapes and values of tables, to compare files without both in memory."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(f"{table.dtype} {table.shape} ".encode())
        digest.update(np.ascontiguousarray(table).data)
    return digest.hexdigest()


def make_drea_rows(regions: DetectedRegions, graphs: Mapping[str, VariantGraphs]) -> DreaRows:
    """Count the regions that every variant's graphs keep and drop.

    Args:
        regions: the detections.
        graphs: by variant, those with a local branch only.

    Raises:
        ShapeError: graphs belong to other images, or to other regions.
    """
    settings = {variant: flatten(each.settings) for variant, each in graphs.items()}
    baseline = next((variant for variant, each in graphs.items() if not each.imported), None)
    baseline_settings = {} if baseline is None else settings[baseline]
    groups: dict[tuple[str, RegionCounts], list[str]] = {}
    for variant, each in graphs.items():
        key = each.content_hash, count_regions(variant, each, regions)
        groups.setdefault(key, []).append(variant)
    return DreaRows(
        tuple(
            DreaRow(
                tuple(variants),
                counts,
                _changed_settings([settings[variant] for variant in variants], baseline_settings),
            )
            for (_, counts), variants in groups.items()
        ),
        baseline,
        format_settings([baseline_settings]),
        any(each.imported for each in graphs.values()),
    )


def count_regions(variant: str, graphs: VariantGraphs, regions: DetectedRegions) -> RegionCounts:
    """Count the regions that one variant's graphs keep and drop.

    Args:
        variant: its name.
        graphs: its graphs. Where their settings have no `min_score`, the counts of regions below it and of those
            over the limit are None, because they cannot be separated.
        regions: the detections from which the graphs were built.

    Raises:
        ShapeError: the graphs belong to other images, or to other regions.
    """
    if graphs.names != regions.names:
        raise ShapeError(
            f"the graphs of {variant} and regions.h5 name different images;"
            f" {make_hint(graphs.path, 'galr graphs', force=True)}"
        )
    kept = graphs.mask.sum(axis=1)
    num_kept, num_empty = int(kept.sum()), int((kept == 0).sum())
    mean_per_image = num_kept / max(len(kept), 1)
    if graphs.imported:
        return RegionCounts(None, None, None, None, num_kept, mean_per_image, num_empty)
    min_score = graphs.settings.get("min_score")
    low_score = _count_low_score(regions, 0.0 if min_score is None else min_score)
    over_limit = regions.counts - low_score - graphs.num_redundant - kept
    foreign = (over_limit < 0) | (graphs.region_index.max(axis=1, initial=-1) >= regions.counts)
    if foreign.any():
        image = int(foreign.argmax())
        raise ShapeError(
            f"the graphs of {variant} use {(regions.counts - over_limit)[image]} regions of image"
            f" {regions.names[image]}, with numbers up to {graphs.region_index[image].max()}, but regions.h5"
            f" has {regions.counts[image]}, numbered from 0; {make_hint(graphs.path, 'galr graphs', force=True)}"
        )
    return RegionCounts(
        detected=len(regions.scores),
        low_score=None if min_score is None else int(low_score.sum()),
        redundant=int(graphs.num_redundant.sum()),
        over_limit=None if min_score is None else int(over_limit.sum()),
        kept=num_kept,
        mean_per_image=mean_per_image,
        num_empty=num_empty,
    )


def _count_low_score(regions: DetectedRegions, min_score: float) -> np.ndarray:
    """Count the regions of each image below the minimum score, compared in float64 as by DREA.

    Returns:
        (images,) int.
    """
    low = regions.scores.astype(np.float64) < min_score
    return np.bincount(regions.image[low], minlength=len(regions.counts))


def _changed_settings(documents: Sequence[Mapping[str, str]], baseline: Mapping[str, str]) -> str:
    """Format the settings in which at least one variant of a row differs from the baseline."""
    keys = {key for each in documents for key in each if each[key] != baseline.get(key)}
    return format_settings([{key: each[key] for key in each if key in keys} for each in documents])


def format_settings(documents: Sequence[Mapping[str, str]]) -> str:
    """Format settings: `similarity iou, no salience`; where documents differ, `similarity cosine or iou`.

    Args:
        documents: settings of each variant, as `galr.report.provenance_view.flatten` returns them.
    """
    keys = dict.fromkeys(key for document in documents for key in document)
    return ", ".join(
        _format_setting(key, list(dict.fromkeys(each[key] for each in documents if key in each)))
        for key in keys
    )


def _format_setting(key: str, values: Sequence[str]) -> str:
    """Format one setting and all its values."""
    name = key.replace("_", " ")
    switch = {"true": name, "false": f"no {name}"}
    if set(values) <= set(switch):
        return " or ".join(switch[value] for value in values)
    return f"{name} {' or '.join(values)}"
