"""Landscapes on dry land: airport, farmland, desert, town, parking lot, sports ground, depot."""

from itertools import pairwise

import numpy as np

from galr.data.scenes.scene import Landscape, Layer, Line
from galr.data.scenes.shapes import FAR, SIDE, Frame, band, stadium
from galr.data.scenes.tones import any_frame, straight_frame, tone

WHITE = (226, 226, 220)
_HALF = SIDE / 2


def _grass(random: np.random.Generator) -> Layer:
    """Meadow everywhere, from fresh to dry."""
    hues = ((92, 122, 62), (122, 130, 74), (104, 128, 58))
    return Layer("grass", tone(random, hues[random.integers(len(hues))], 9), place="grass")


def _line(frame: Frame, name: str, across: float, width: float, place: str) -> Line:
    """A line of things that runs ahead through the whole world at an offset aside."""
    start, end = frame.at(np.array([[-_HALF, across], [_HALF, across]]))
    return Line(name, start, end, width, place)


def _dashes(
    frame: Frame, across: float, length: float, gap: float, width: float
) -> tuple[np.ndarray, ...]:
    """The dashes of a broken line that runs ahead at an offset aside."""
    starts = np.arange(-FAR / 2, FAR / 2, length + gap)
    return tuple(
        frame.box(start, start + length, across - width / 2, across + width / 2) for start in starts
    )


def _road(
    random: np.random.Generator, frame: Frame, across: float, width: float, beside: str
) -> tuple[tuple[Layer, ...], Line]:
    """A paved road that runs ahead, and the line of what stands beside it."""
    strip = frame.strip(across - width / 2, across + width / 2)
    grey = tone(random, (112, 112, 114), 10)
    layers = (
        Layer("asphalt", grey, (strip,), "road", frame.angle, rim=1),
        Layer("paint", WHITE, _dashes(frame, across, 7, 7, 1.1)),
    )
    return layers, _line(frame, "road", across, width, beside)


def airport(random: np.random.Generator) -> Landscape:
    """A runway, an apron before it and a taxiway between the two."""
    frame = any_frame(random)
    runway = -random.uniform(62, 82)
    near, far = runway + 34, runway + 34 + random.uniform(88, 110)
    left = -random.uniform(84, 140)
    right = left + random.uniform(190, 230)
    dark, light = tone(random, (92, 94, 98), 9), tone(random, (158, 156, 150), 12)
    link = random.uniform(left + 20, right - 20)
    keys = tuple(
        frame.box(end, end + 18, runway + at, runway + at + 2.2)
        for end in (-112, 94)
        for at in (-12, -7, 5, 10)
    )
    edges = tuple(frame.strip(runway + at, runway + at + 0.9) for at in (-16.5, 15.6))
    taxi = tuple(frame.box(left, right, near + at, near + at + 1) for at in (7, far - near - 8))
    layers = (
        _grass(random),
        Layer("asphalt", dark, (frame.strip(runway - 18, runway + 18),), "runway", frame.angle),
        Layer("concrete", light, (frame.box(link - 10, link + 10, runway + 17, near + 1),), "link"),
        Layer(
            "concrete", light, (frame.box(left, right, near, far),), "apron", frame.angle, rim=0.8
        ),
        Layer("paint", WHITE, (*_dashes(frame, runway, 16, 12, 1.4), *keys, *edges)),
        Layer("paint", (226, 196, 74), taxi),
    )
    homes = {
        "plane": ("apron", "apron", "grass", "runway"),
        "court": ("grass",),
        "tank": ("grass", "apron"),
        "vehicle": ("apron", "grass", "runway"),
        "building": ("apron", "grass"),
    }
    lines = (_line(frame, "runway", runway, 36, "grass"),)
    return Landscape("airport", layers, homes, frame.angle, lines)


def farmland(random: np.random.Generator) -> Landscape:
    """Fields of several crops and a dirt track between them."""
    frame = any_frame(random)
    hues = ((128, 142, 70), (166, 152, 86), (98, 128, 60), (150, 122, 84), (182, 168, 104))
    cuts = [-FAR, *np.sort(random.uniform(-110, 110, random.integers(1, 4))), FAR]
    track = random.uniform(-60, 60)
    fields = []
    for left, right in pairwise(cuts):
        for near, far in ((-FAR, track), (track, FAR)):
            parcel = frame.box(left + 1.5, right - 1.5, near, far)
            angle = frame.angle + random.integers(2) * np.pi / 2
            hue = tone(random, hues[random.integers(len(hues))], 7)
            fields.append(Layer("crop", hue, (parcel,), "field", angle, rim=0.8))
    strip = frame.strip(track - 10, track + 10)
    ruts = tuple(frame.strip(track + at, track + at + 1.6) for at in (-5, 3.4))
    dirt = tone(random, (164, 140, 104), 10)
    layers = (
        Layer("grass", tone(random, (92, 112, 58), 8), place="field"),
        *fields,
        Layer("soil", dirt, (strip,), "track", rim=1.2),
        Layer("soil", (dirt[0] - 20, dirt[1] - 18, dirt[2] - 14), ruts),
    )
    land = ("field",)
    homes = {
        "plane": land,
        "tank": land,
        "vehicle": ("track", "field", "field"),
        "building": land,
    }
    lines = (_line(frame, "track", track, 20, "field"),)
    return Landscape("farmland", layers, homes, frame.angle, lines, wooded=("field",), trees=8)


def desert(random: np.random.Generator) -> Landscape:
    """Dunes, and sometimes a track through them."""
    frame = any_frame(random)
    hue = tone(random, (206, 174, 124), 10)
    track = random.uniform(-70, 70)
    pale = (hue[0] - 22, hue[1] - 22, hue[2] - 18)
    layers: tuple[Layer, ...] = (Layer("sand", hue, place="sand", angle=random.uniform(0, np.pi)),)
    lines: tuple[Line, ...] = ()
    homes: dict[str, tuple[str, ...]]
    homes = {kind: ("sand",) for kind in ("plane", "tank", "vehicle", "building")}
    if random.random() < 0.5:
        layers += (Layer("soil", pale, (frame.strip(track - 9, track + 9),), "track", rim=1.5),)
        lines = (_line(frame, "track", track, 18, "sand"),)
        homes["vehicle"] = ("sand", "track")
    return Landscape("desert", layers, homes, frame.angle, lines, wooded=("sand",), trees=5)


def town(random: np.random.Generator) -> Landscape:
    """Gardens and lawns along a street, sometimes with a side street."""
    frame = straight_frame(random)
    across = random.uniform(-36, 36)
    street, line = _road(random, frame, across, 24, "grass")
    base = _grass(random)
    cuts = np.cumsum(random.uniform(44, 80, 12)) - 320
    gardens = [
        Layer("grass", tone(random, base.colour, 12), (frame.box(left, right, near, far),), rim=0.8)
        for left, right in pairwise(cuts)
        for near, far in ((-FAR, across - 16), (across + 16, FAR))
    ]
    side = []
    if random.random() < 0.6:
        aside = random.uniform(-80, 80)
        lane = frame.box(aside - 10, aside + 10, across + 11, FAR)
        side = [Layer("asphalt", street[0].colour, (lane,), "road", rim=1)]
    layers = (base, *gardens, *side, *street)
    land = ("grass",)
    homes = {
        "court": land,
        "tank": land,
        "vehicle": ("road", "road", "grass"),
        "building": land,
    }
    return Landscape("town", layers, homes, frame.angle, (line,), wooded=land, trees=24)


def parking_lot(random: np.random.Generator) -> Landscape:
    """Asphalt with marked bays, a green at its side."""
    frame = straight_frame(random)
    edge = random.uniform(-70, -36)
    asphalt = tone(random, (116, 116, 120), 10)
    marks, bays = [], []
    for row in np.arange(edge + 34, _HALF, 76):
        marks.append(frame.box(-FAR, FAR, row - 0.5, row + 0.5))
        marks += [frame.box(at, at + 0.9, row - 27, row + 27) for at in range(-209, 209, 19)]
        for side in (-14, 14):
            middles = frame.at(np.array([[at + 9.5, row + side] for at in range(-209, 209, 19)]))
            heading = np.full((len(middles), 1), frame.angle + np.pi / 2)
            bays.append(np.concatenate([middles, heading], axis=1))
    layers = (
        _grass(random),
        Layer("asphalt", asphalt, (frame.strip(edge, FAR),), "asphalt", frame.angle, rim=1.2),
        Layer("paint", WHITE, tuple(marks)),
    )
    homes = {
        "court": ("grass", "asphalt"),
        "tank": ("grass", "asphalt"),
        "vehicle": ("asphalt", "asphalt", "grass"),
        "building": ("grass", "asphalt"),
    }
    return Landscape(
        "parking lot", layers, homes, frame.angle, bays=tuple(bays), wooded=("grass",), trees=14
    )


def sports_ground(random: np.random.Generator) -> Landscape:
    """Mown lawn and a running track round a green."""
    frame = any_frame(random)
    oval = Frame(_HALF + random.uniform(-26, 26), _HALF + random.uniform(-26, 26), frame.angle)
    length, width = random.uniform(192, 214), random.uniform(124, 138)
    red = tone(random, (168, 88, 66), 10)
    green = tone(random, (88, 132, 62), 8)
    lanes = []
    for lane in (4.5, 9.0, 13.5):
        ring = oval.at(stadium(length - 2 * lane, width - 2 * lane))
        lanes += [
            band(start, end, 0.7) for start, end in zip(ring, np.roll(ring, -1, 0), strict=True)
        ]
    infield = oval.at(stadium(length - 36, width - 36))
    layers = (
        Layer("grass", tone(random, (106, 126, 66), 12), place="grass"),
        Layer("soil", red, (oval.at(stadium(length, width)),), "running track", rim=1),
        Layer("paint", (214, 170, 152), tuple(lanes)),
        Layer("lawn", green, (infield,), "infield", frame.angle, rim=0.8),
    )
    homes = {
        "plane": ("grass",),
        "court": ("infield", "grass"),
        "tank": ("grass",),
        "vehicle": ("infield", "grass"),
        "building": ("grass", "infield"),
    }
    return Landscape("sports ground", layers, homes, frame.angle, wooded=("grass",), trees=16)


def depot(random: np.random.Generator) -> Landscape:
    """A gravel yard with paved pads and a road through it, sometimes beside a canal."""
    frame = straight_frame(random)
    across = random.uniform(-70, 20)
    street, line = _road(random, frame, across, 22, "yard")
    hues = ((168, 158, 140), (142, 138, 132), (176, 154, 122))
    yard = Layer("soil", tone(random, hues[random.integers(len(hues))], 8), place="yard")
    homes = {
        "tank": ("yard",),
        "vehicle": ("yard", "road"),
        "building": ("yard",),
    }
    pads = [
        frame.box(left, left + random.uniform(50, 90), near, near + random.uniform(40, 70))
        for left, near in random.uniform((-120, -120), (70, 70), (2, 2))
    ]
    paved = Layer("concrete", tone(random, (168, 164, 156), 9), tuple(pads), angle=frame.angle)
    layers: tuple[Layer, ...] = (yard, paved, *street)
    if random.random() < 0.75:
        start = across + random.uniform(46, 76)
        canal = frame.strip(start, start + 64)
        rim = frame.strip(start - 4, start + 68)
        layers += (
            Layer("concrete", (170, 168, 160), (rim,), "wall", frame.angle, rim=0.8),
            Layer("water", tone(random, (54, 88, 96), 8), (canal,), "water", frame.angle + 1.2),
        )
        homes["ship"] = ("water",)
    return Landscape("depot", layers, homes, frame.angle, (line,))
