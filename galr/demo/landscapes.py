"""The eleven landscapes that a scene can have, each a function that samples one.

They are long because they are tables: what covers the ground, and what may stand where. Lengths are
in units, in a frame whose x axis follows the landscape's road, shore or runway.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from galr.demo.geometry import (
    FAR,
    WORLD_SIZE,
    Frame,
    blob,
    random_frame,
    random_upright_frame,
    stadium,
    stroke,
    wavy_line,
)
from galr.demo.objects import Colour
from galr.demo.scene import Landscape, Layer, LinearFeature

_HALF = WORLD_SIZE / 2
_MARKING = (226, 226, 220)  # colour of painted lines
_ON_LAND = ("plane", "court", "tank", "vehicle", "building")  # kinds that may stand on any land


def island(random: np.random.Generator) -> Landscape:
    """Sample a green island with a beach in the sea."""
    radius = random.uniform(62, 84)
    middle = _HALF + random.uniform(-46, 46, 2)
    shape = blob(random, radius, 0.22)
    shallows, beach, green = (shape * scale + middle for scale in (1.15, 1.03, 0.93))
    layers = (
        _water(random),
        Layer("sand", _vary(random, (100, 150, 150), 6), (shallows,), edge_width=5),
        Layer("sand", _vary(random, (206, 188, 142), 9), (beach,), "beach", edge_width=1.2),
        Layer("grass", _vary(random, (98, 124, 66), 10), (green,), "island", edge_width=1),
    )
    return Landscape(
        "island",
        layers,
        {"ship": ("water",)} | dict.fromkeys(_ON_LAND, ("island",)),
        axis=random.uniform(0, np.pi),
        tree_surfaces=("island",),
        max_trees=14,
    )


def coast(random: np.random.Generator) -> Landscape:
    """Sample the sea, a beach and a meadow behind it."""
    frame = random_frame(random)
    shore = wavy_line(random, 9)
    meadow_edge = wavy_line(random, 5)
    start = random.uniform(-34, 22)
    beach = random.uniform(16, 46)
    meadow = _vary(random, (110, 128, 70), 12)
    sand = _vary(random, (208, 190, 146), 9)
    water = _water(random)
    shallows = _vary(random, (104, 152, 152), 6)
    layers = (
        water,
        Layer("sand", shallows, _inland(frame, shore, start - 9), edge_width=6),
        Layer("sand", sand, _inland(frame, shore, start), "beach", frame.angle, edge_width=1.5),
        Layer("grass", meadow, _inland(frame, meadow_edge, start + beach), "grass", edge_width=1),
    )
    allowed = {
        "ship": ("water",),
        "plane": ("grass",),
        "court": ("grass", "beach"),
        "tank": ("grass",),
        "vehicle": ("beach", "grass"),
        "building": ("grass",),
    }
    return Landscape("coast", layers, allowed, frame.angle, tree_surfaces=("grass",), max_trees=16)


def harbour(random: np.random.Generator) -> Landscape:
    """Sample a concrete quay and one or two piers that reach into the water."""
    frame = random_upright_frame(random)
    edge = random.uniform(6, 44)
    concrete = _vary(random, (164, 160, 152), 12)
    piers, features = [], []
    options = ((random.uniform(-30, 30),), (-56 + random.normal(0, 5), 56 + random.normal(0, 5)))
    for x in options[random.integers(2)]:
        reach, width = random.uniform(76, 100), random.uniform(11, 15)
        piers.append(frame.rectangle(x - width / 2, x + width / 2, edge - reach, edge + 2))
        ends = frame.to_world(np.array([[x, edge - reach], [x, edge - 14]]))
        features.append(LinearFeature("pier", ends[0], ends[1], width, "water"))
    features.append(_feature(frame, "quay", edge, 2, "water"))
    quay = (frame.strip(edge, FAR),)
    marks = tuple(frame.rectangle(x, x + 8, edge + 9, edge + 10) for x in range(-200, 200, 16))
    layers = (
        _water(random),
        Layer("concrete", concrete, tuple(piers), "pier", frame.angle, edge_width=0.8, height=4),
        Layer("concrete", concrete, quay, "quay", frame.angle, edge_width=1.2, height=4),
        Layer("paint", (222, 200, 90), marks),
    )
    allowed = {"ship": ("water",)} | dict.fromkeys(("tank", "vehicle", "building"), ("quay",))
    return Landscape("harbour", layers, allowed, frame.angle, tuple(features))


def river(random: np.random.Generator) -> Landscape:
    """Sample a winding river between meadows."""
    frame = random_frame(random)
    width = random.uniform(70, 96)
    bend = wavy_line(random, 14)
    middle = random.uniform(-40, 40)
    water, mud = (
        frame.to_world(np.concatenate([_moved(bend, middle - y), _moved(bend, middle + y)[::-1]]))
        for y in (width / 2, width / 2 + 4)
    )
    flow = frame.angle + 1.3  # waves run across the river
    layers = (
        Layer("grass", _vary(random, (104, 126, 66), 14), surface="bank"),
        Layer("soil", _vary(random, (158, 144, 106), 8), (mud,), "mud", edge_width=1.5),
        Layer("water", _vary(random, (62, 98, 104), 10), (water,), "water", flow),
    )
    allowed = {"ship": ("water",)} | dict.fromkeys(_ON_LAND, ("bank",))
    return Landscape("river", layers, allowed, frame.angle, tree_surfaces=("bank",), max_trees=22)


def airport(random: np.random.Generator) -> Landscape:
    """Sample a runway, an apron beside it and a taxiway between the two."""
    frame = random_frame(random)
    runway = -random.uniform(62, 82)
    top, bottom = runway + 34, runway + 34 + random.uniform(88, 110)
    left = -random.uniform(84, 140)
    right = left + random.uniform(190, 230)
    dark, light = _vary(random, (92, 94, 98), 9), _vary(random, (158, 156, 150), 12)
    link = random.uniform(left + 20, right - 20)
    strip = frame.strip(runway - 18, runway + 18)
    taxiway = frame.rectangle(link - 10, link + 10, runway + 17, top + 1)
    apron = frame.rectangle(left, right, top, bottom)
    threshold_marks = tuple(
        frame.rectangle(x, x + 18, runway + y, runway + y + 2.2)
        for x in (-112, 94)
        for y in (-12, -7, 5, 10)
    )
    edge_lines = tuple(frame.strip(runway + y, runway + y + 0.9) for y in (-16.5, 15.6))
    apron_lines = tuple(
        frame.rectangle(left, right, top + y, top + y + 1) for y in (7, bottom - top - 8)
    )
    centre_line = _dashes(frame, runway, 16, 12, 1.4)
    layers = (
        _grass(random),
        Layer("asphalt", dark, (strip,), "runway", frame.angle),
        Layer("concrete", light, (taxiway,), "link"),
        Layer("concrete", light, (apron,), "apron", frame.angle, edge_width=0.8),
        Layer("paint", _MARKING, (*centre_line, *threshold_marks, *edge_lines)),
        Layer("paint", (226, 196, 74), apron_lines),
    )
    allowed = {
        "plane": ("apron", "apron", "grass", "runway"),
        "court": ("grass",),
        "tank": ("grass", "apron"),
        "vehicle": ("apron", "grass", "runway"),
        "building": ("apron", "grass"),
    }
    features = (_feature(frame, "runway", runway, 36, "grass"),)
    return Landscape("airport", layers, allowed, frame.angle, features)


def farmland(random: np.random.Generator) -> Landscape:
    """Sample fields of several crops and a dirt track between them."""
    frame = random_frame(random)
    hues = ((128, 142, 70), (166, 152, 86), (98, 128, 60), (150, 122, 84), (182, 168, 104))
    cuts = [-FAR, *np.sort(random.uniform(-110, 110, random.integers(1, 4))), FAR]
    track = random.uniform(-60, 60)
    fields = []
    for left, right in pairwise(cuts):
        for top, bottom in ((-FAR, track), (track, FAR)):
            parcel = frame.rectangle(left + 1.5, right - 1.5, top, bottom)
            angle = frame.angle + random.integers(2) * np.pi / 2
            hue = _vary(random, hues[random.integers(len(hues))], 7)
            fields.append(Layer("crop", hue, (parcel,), "field", angle, edge_width=0.8))
    strip = frame.strip(track - 10, track + 10)
    ruts = tuple(frame.strip(track + y, track + y + 1.6) for y in (-5, 3.4))
    dirt = _vary(random, (164, 140, 104), 10)
    layers = (
        Layer("grass", _vary(random, (92, 112, 58), 8), surface="field"),
        *fields,
        Layer("soil", dirt, (strip,), "track", edge_width=1.2),
        Layer("soil", (dirt[0] - 20, dirt[1] - 18, dirt[2] - 14), ruts),
    )
    allowed = {
        "plane": ("field",),
        "tank": ("field",),
        "vehicle": ("track", "field", "field"),
        "building": ("field",),
    }
    features = (_feature(frame, "track", track, 20, "field"),)
    return Landscape(
        "farmland", layers, allowed, frame.angle, features, tree_surfaces=("field",), max_trees=8
    )


def desert(random: np.random.Generator) -> Landscape:
    """Sample dunes, sometimes with a dirt track through them."""
    frame = random_frame(random)
    hue = _vary(random, (206, 174, 124), 10)
    track = random.uniform(-70, 70)
    layers: tuple[Layer, ...] = (
        Layer("sand", hue, surface="sand", angle=random.uniform(0, np.pi)),
    )
    features: tuple[LinearFeature, ...] = ()
    allowed: dict[str, tuple[str, ...]]
    allowed = dict.fromkeys(("plane", "tank", "vehicle", "building"), ("sand",))
    if random.random() < 0.5:
        strip = frame.strip(track - 9, track + 9)
        pale = (hue[0] - 22, hue[1] - 22, hue[2] - 18)
        layers += (Layer("soil", pale, (strip,), "track", edge_width=1.5),)
        features = (_feature(frame, "track", track, 18, "sand"),)
        allowed["vehicle"] = ("sand", "track")
    return Landscape(
        "desert", layers, allowed, frame.angle, features, tree_surfaces=("sand",), max_trees=5
    )


def town(random: np.random.Generator) -> Landscape:
    """Sample gardens and lawns along a street, sometimes with a side street."""
    frame = random_upright_frame(random)
    y = random.uniform(-36, 36)
    street, feature = _road(random, frame, y, 24, "grass")
    base = _grass(random)
    cuts = np.cumsum(random.uniform(44, 80, 12)) - 320
    gardens = [
        Layer(
            "grass",
            _vary(random, base.colour, 12),
            (frame.rectangle(left, right, top, bottom),),
            edge_width=0.8,
        )
        for left, right in pairwise(cuts)
        for top, bottom in ((-FAR, y - 16), (y + 16, FAR))
    ]
    side_streets = []
    if random.random() < 0.6:
        x = random.uniform(-80, 80)
        lane = frame.rectangle(x - 10, x + 10, y + 11, FAR)
        side_streets = [Layer("asphalt", street[0].colour, (lane,), "road", edge_width=1)]
    layers = (base, *gardens, *side_streets, *street)
    allowed = {
        "court": ("grass",),
        "tank": ("grass",),
        "vehicle": ("road", "road", "grass"),
        "building": ("grass",),
    }
    return Landscape(
        "town", layers, allowed, frame.angle, (feature,), tree_surfaces=("grass",), max_trees=24
    )


def parking_lot(random: np.random.Generator) -> Landscape:
    """Sample asphalt with marked bays and a meadow beside it."""
    frame = random_upright_frame(random)
    edge = random.uniform(-70, -36)
    asphalt = _vary(random, (116, 116, 120), 10)
    lefts = range(-209, 209, 19)  # of the bays
    marks, parking_rows = [], []
    for y in np.arange(edge + 34, _HALF, 76):
        marks.append(frame.rectangle(-FAR, FAR, y - 0.5, y + 0.5))
        marks += [frame.rectangle(left, left + 0.9, y - 27, y + 27) for left in lefts]
        for offset in (-14, 14):
            centres = frame.to_world(np.array([[left + 9.5, y + offset] for left in lefts]))
            heading = np.full((len(centres), 1), frame.angle + np.pi / 2)
            parking_rows.append(np.concatenate([centres, heading], axis=1))
    paved = (frame.strip(edge, FAR),)
    layers = (
        _grass(random),
        Layer("asphalt", asphalt, paved, "asphalt", frame.angle, edge_width=1.2),
        Layer("paint", _MARKING, tuple(marks)),
    )
    allowed = {
        "court": ("grass", "asphalt"),
        "tank": ("grass", "asphalt"),
        "vehicle": ("asphalt", "asphalt", "grass"),
        "building": ("grass", "asphalt"),
    }
    return Landscape(
        "parking lot",
        layers,
        allowed,
        frame.angle,
        parking_rows=tuple(parking_rows),
        tree_surfaces=("grass",),
        max_trees=14,
    )


def sports_ground(random: np.random.Generator) -> Landscape:
    """Sample a mown lawn inside a running track."""
    frame = random_frame(random)
    oval = Frame(_HALF + random.uniform(-26, 26), _HALF + random.uniform(-26, 26), frame.angle)
    length, width = random.uniform(192, 214), random.uniform(124, 138)
    red = _vary(random, (168, 88, 66), 10)
    green = _vary(random, (88, 132, 62), 8)
    lane_lines = []
    for inset in (4.5, 9.0, 13.5):
        ring = oval.to_world(stadium(length - 2 * inset, width - 2 * inset))
        lane_lines += [
            stroke(start, end, 0.7) for start, end in zip(ring, np.roll(ring, -1, 0), strict=True)
        ]
    track = oval.to_world(stadium(length, width))
    infield = oval.to_world(stadium(length - 36, width - 36))
    layers = (
        Layer("grass", _vary(random, (106, 126, 66), 12), surface="grass"),
        Layer("soil", red, (track,), "running track", edge_width=1),
        Layer("paint", (214, 170, 152), tuple(lane_lines)),
        Layer("lawn", green, (infield,), "infield", frame.angle, edge_width=0.8),
    )
    allowed = {
        "plane": ("grass",),
        "court": ("infield", "grass"),
        "tank": ("grass",),
        "vehicle": ("infield", "grass"),
        "building": ("grass", "infield"),
    }
    return Landscape(
        "sports ground", layers, allowed, frame.angle, tree_surfaces=("grass",), max_trees=16
    )


def depot(random: np.random.Generator) -> Landscape:
    """Sample a gravel yard with paved pads and a road through it, sometimes beside a canal."""
    frame = random_upright_frame(random)
    y = random.uniform(-70, 20)
    street, feature = _road(random, frame, y, 22, "yard")
    hues = ((168, 158, 140), (142, 138, 132), (176, 154, 122))
    yard = Layer("soil", _vary(random, hues[random.integers(len(hues))], 8), surface="yard")
    allowed = {"tank": ("yard",), "vehicle": ("yard", "road"), "building": ("yard",)}
    pads = [
        frame.rectangle(left, left + random.uniform(50, 90), top, top + random.uniform(40, 70))
        for left, top in random.uniform((-120, -120), (70, 70), (2, 2))
    ]
    paved = Layer("concrete", _vary(random, (168, 164, 156), 9), tuple(pads), angle=frame.angle)
    layers: tuple[Layer, ...] = (yard, paved, *street)
    if random.random() < 0.75:
        start = y + random.uniform(46, 76)
        canal = frame.strip(start, start + 64)
        wall = frame.strip(start - 4, start + 68)
        flow = frame.angle + 1.2
        layers += (
            Layer("concrete", (170, 168, 160), (wall,), "wall", frame.angle, edge_width=0.8),
            Layer("water", _vary(random, (54, 88, 96), 8), (canal,), "water", flow),
        )
        allowed["ship"] = ("water",)
    return Landscape("depot", layers, allowed, frame.angle, (feature,))


LANDSCAPES: tuple[Callable[[np.random.Generator], Landscape], ...] = (
    island,
    coast,
    harbour,
    river,
    airport,
    farmland,
    desert,
    town,
    parking_lot,
    sports_ground,
    depot,
)


def _vary(random: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """Sample a colour near another, lighter or darker by about `spread` and slightly off in hue."""
    red, green, blue = np.array(colour) + random.normal(0, spread) + random.normal(0, spread / 3, 3)
    return float(red), float(green), float(blue)


def _water(random: np.random.Generator) -> Layer:
    """Sample water that covers the world, in a shade of blue, teal or grey."""
    hues = ((44, 92, 138), (36, 104, 122), (62, 96, 116), (30, 72, 120))
    hue = hues[random.integers(len(hues))]
    angle = random.uniform(0, np.pi)
    return Layer("water", _vary(random, hue, 8), surface="water", angle=angle)


def _grass(random: np.random.Generator) -> Layer:
    """Sample a meadow that covers the world, from fresh to dry."""
    hues = ((92, 122, 62), (122, 130, 74), (104, 128, 58))
    return Layer("grass", _vary(random, hues[random.integers(len(hues))], 9), surface="grass")


def _inland(frame: Frame, shore: np.ndarray, y: float) -> tuple[np.ndarray, ...]:
    """Return the polygon of everything beyond a shore (n, 2) that is moved by y."""
    return (frame.to_world(np.concatenate([_moved(shore, y), [[FAR, FAR], [-FAR, FAR]]])),)


def _moved(line: np.ndarray, y: float) -> np.ndarray:
    """Return points (n, 2) moved by y."""
    return line + np.array([0, y])


def _feature(frame: Frame, name: str, y: float, width: float, surface: str) -> LinearFeature:
    """Return a feature that crosses the world along the frame's x axis."""
    start, end = frame.to_world(np.array([[-_HALF, y], [_HALF, y]]))
    return LinearFeature(name, start, end, width, surface)


def _dashes(
    frame: Frame, y: float, length: float, gap: float, width: float
) -> tuple[np.ndarray, ...]:
    """Return the dashes of a broken line along the frame's x axis."""
    starts = np.arange(-FAR / 2, FAR / 2, length + gap)
    return tuple(
        frame.rectangle(start, start + length, y - width / 2, y + width / 2) for start in starts
    )


def _road(
    random: np.random.Generator, frame: Frame, y: float, width: float, surface: str
) -> tuple[tuple[Layer, ...], LinearFeature]:
    """Sample a paved road along the frame's x axis; objects beside it stand on `surface`."""
    strip = frame.strip(y - width / 2, y + width / 2)
    grey = _vary(random, (112, 112, 114), 10)
    layers = (
        Layer("asphalt", grey, (strip,), "road", frame.angle, edge_width=1),
        Layer("paint", _MARKING, _dashes(frame, y, 7, 7, 1.1)),
    )
    return layers, _feature(frame, "road", y, width, surface)
