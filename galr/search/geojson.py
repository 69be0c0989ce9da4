"""Answers as GeoJSON: the footprints of their tiles on Earth, for a map or a geographic information system."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rasterio.warp import transform_geom

from galr.search.index import TileRecord
from galr.search.query import QueryResult

WGS84 = "EPSG:4326"
DECIMALS = 7  # of degrees: about a centimetre

Point = tuple[float, float]  # longitude and latitude in degrees


@dataclass(frozen=True)
class Footprints:
    """The footprints of the tiles of some answers.

    Attributes:
        text: a GeoJSON FeatureCollection (RFC 7946): longitude and latitude in WGS 84, rings counter-clockwise.
        num_tiles: number of tiles in the answers.
        num_unplaced: number of those that are left out, since their image has no coordinates or none that can be
            converted.
    """

    text: str
    num_tiles: int
    num_unplaced: int


def footprints(
    results: Sequence[QueryResult], path_of: Callable[[TileRecord], Path | None]
) -> Footprints:
    """Make the footprints of all tiles that were found, a feature for each.

    Args:
        results: the answers.
        path_of: gives the full path of a tile's image; None where it is not known.
    """
    features, num_tiles = [], 0
    for result in results:
        for hit in result.hits:
            num_tiles += 1
            geometry = _geometry(hit.tile)
            if geometry is None:
                continue
            path = path_of(hit.tile)
            properties = {
                "query": result.query,
                "rank": hit.rank,
                "score": round(hit.score, 6),
                "cosine": round(hit.cosine, 6),
                "path": None if path is None else str(path),
                "name": hit.tile.name,
                "window": list(hit.tile.window),
                "merged": len(hit.merged),
            }
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    collection = {"type": "FeatureCollection", "features": features}
    text = json.dumps(collection, ensure_ascii=False, allow_nan=False) + "\n"
    return Footprints(text, num_tiles, num_tiles - len(features))


def _geometry(tile: TileRecord) -> dict[str, Any] | None:
    """The footprint of a tile, as a GeoJSON geometry; cut in two at the antimeridian, as RFC 7946 wants it.

    Returns:
        None if the image has no coordinates, or they cannot be converted.
    """
    if tile.geo_transform is None or not tile.geo_transform.crs:
        return None
    corners = tile.geo_transform.corners(tile.window)
    ring = [*corners, corners[0]]
    try:
        geometry = transform_geom(
            tile.geo_transform.crs,
            WGS84,
            {"type": "Polygon", "coordinates": [ring]},
            precision=DECIMALS,
        )
    except Exception:  # noqa: BLE001  types of rasterio, and of GDAL, which have no public name
        return None
    polygons = [geometry["coordinates"]]
    if geometry["type"] == "MultiPolygon":
        polygons = geometry["coordinates"]
    rings = [part for (outer, *_) in polygons for part in _cut_at_antimeridian(outer)]
    oriented = [[_counter_clockwise(ring)] for ring in rings]
    if len(oriented) == 1:
        return {"type": "Polygon", "coordinates": oriented[0]}
    return {"type": "MultiPolygon", "coordinates": oriented}


def _cut_at_antimeridian(ring: Sequence[Point]) -> list[list[Point]]:
    """Cut a closed ring that crosses the antimeridian and that GDAL left whole; any other stays as it is."""
    (first, _), *_ = ring
    east = [(x - 360 * round((x - first) / 360), y) for x, y, *_ in ring]  # no jump of 360 degrees
    around_pole = east[0] != east[-1] or any(abs(y) == 90 for _, y in east)
    outside = [x for x, _ in east if abs(x) > 180]
    if around_pole or not outside:
        return [list(ring)]
    meridian = 180.0 if outside[0] > 0 else -180.0
    inner, outer = (_clip(east, meridian, sign) for sign in (-1, 1))
    if meridian < 0:
        inner, outer = outer, inner
    return [part for part in (inner, [(x - 2 * meridian, y) for x, y in outer]) if part]


def _clip(ring: Sequence[Point], meridian: float, sign: int) -> list[Point]:
    """The part of a closed ring west (-1) or east (1) of a meridian, closed; empty if there is none."""
    kept: list[Point] = []
    for (x1, y1), (x2, y2) in pairwise(ring):
        if (x1 - meridian) * sign >= 0:
            kept.append((x1, y1))
        if (x1 - meridian) * (x2 - meridian) < 0:
            kept.append((meridian, round(y1 + (y2 - y1) * (meridian - x1) / (x2 - x1), DECIMALS)))
    return [*kept, kept[0]] if len(kept) > 2 else []


def _counter_clockwise(ring: Sequence[Point]) -> list[Point]:
    """A closed ring in the order that RFC 7946 wants of an outer one: by the sign of its area."""
    area = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(ring))
    return list(ring) if area >= 0 else list(reversed(ring))
