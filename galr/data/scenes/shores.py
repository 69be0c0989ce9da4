"""Landscapes with water: island, coast, harbour, river."""

import numpy as np

from galr.data.scenes.scene import Landscape, Layer, Line
from galr.data.scenes.shapes import FAR, SIDE, Frame, blob, wavy
from galr.data.scenes.tones import any_frame, straight_frame, tone

CENTRE = SIDE / 2


def _water(random: np.random.Generator) -> Layer:
    """Water everywhere: any of blue, teal and grey."""
    hues = ((44, 92, 138), (36, 104, 122), (62, 96, 116), (30, 72, 120))
    hue = hues[random.integers(len(hues))]
    angle = random.uniform(0, np.pi)
    return Layer("water", tone(random, hue, 8), place="water", angle=angle)


def _beyond(frame: Frame, shore: np.ndarray, distance: float) -> tuple[np.ndarray, ...]:
    """All that lies aside of a shore (n, 2) that runs along the frame, as a polygon."""
    far = np.array([[FAR, FAR], [-FAR, FAR]])
    return (frame.at(np.concatenate([_aside(shore, distance), far])),)


def _aside(shore: np.ndarray, distance: float) -> np.ndarray:
    """A shore (n, 2) moved aside."""
    return shore + np.array([0, distance])


def island(random: np.random.Generator) -> Landscape:
    """A green island with a beach, the sea all around."""
    radius = random.uniform(62, 84)
    middle = CENTRE + random.uniform(-46, 46, 2)
    shape = blob(random, radius, 0.22)
    layers = (
        _water(random),
        Layer("sand", tone(random, (100, 150, 150), 6), (shape * 1.15 + middle,), rim=5),
        Layer("sand", tone(random, (206, 188, 142), 9), (shape * 1.03 + middle,), "beach", rim=1.2),
        Layer("grass", tone(random, (98, 124, 66), 10), (shape * 0.93 + middle,), "island", rim=1),
    )
    land = ("island",)
    homes = {"ship": ("water",), "plane": land, "court": land, "tank": land, "vehicle": land}
    return Landscape(
        "island",
        layers,
        homes | {"building": land},
        axis=random.uniform(0, np.pi),
        wooded=("island",),
        trees=14,
    )


def coast(random: np.random.Generator) -> Landscape:
    """The sea, a beach and a meadow behind it, sometimes a coast road."""
    frame = any_frame(random)
    shore = wavy(random, 9)
    inland = wavy(random, 5)
    start = random.uniform(-34, 22)
    beach = random.uniform(16, 46)
    green = Layer(
        "grass",
        tone(random, (110, 128, 70), 12),
        _beyond(frame, inland, start + beach),
        "grass",
        rim=1,
    )
    sand = tone(random, (208, 190, 146), 9)
    layers: tuple[Layer, ...] = (
        _water(random),
        Layer("sand", tone(random, (104, 152, 152), 6), _beyond(frame, shore, start - 9), rim=6),
        Layer("sand", sand, _beyond(frame, shore, start), "beach", rim=1.5, angle=frame.angle),
        green,
    )
    homes = {
        "ship": ("water",),
        "plane": ("grass",),
        "court": ("grass", "beach"),
        "tank": ("grass",),
        "vehicle": ("beach", "grass"),
        "building": ("grass",),
    }
    return Landscape("coast", layers, homes, axis=frame.angle, wooded=("grass",), trees=16)


def harbour(random: np.random.Generator) -> Landscape:
    """A concrete quay and piers that reach into the water."""
    frame = straight_frame(random)
    edge = random.uniform(6, 44)
    concrete = tone(random, (164, 160, 152), 12)
    piers, lines = [], []
    places = ((random.uniform(-30, 30),), (-56 + random.normal(0, 5), 56 + random.normal(0, 5)))
    for along in places[random.integers(2)]:
        reach, width = random.uniform(76, 100), random.uniform(11, 15)
        piers.append(frame.box(along - width / 2, along + width / 2, edge - reach, edge + 2))
        ends = frame.at(np.array([[along, edge - reach], [along, edge - 14]]))
        lines.append(Line("pier", ends[0], ends[1], width, "water"))
    ends = frame.at(np.array([[-CENTRE, edge], [CENTRE, edge]]))
    lines.append(Line("quay", ends[0], ends[1], 2, "water"))
    quay = (frame.strip(edge, FAR),)
    marks = tuple(frame.box(at, at + 8, edge + 9, edge + 10) for at in range(-200, 200, 16))
    layers = (
        _water(random),
        Layer("concrete", concrete, tuple(piers), "pier", frame.angle, rim=0.8, height=4),
        Layer("concrete", concrete, quay, "quay", frame.angle, rim=1.2, height=4),
        Layer("paint", (222, 200, 90), marks),
    )
    land = ("quay",)
    homes = {"ship": ("water",), "tank": land, "vehicle": land, "building": land}
    return Landscape("harbour", layers, homes, axis=frame.angle, lines=tuple(lines))


def river(random: np.random.Generator) -> Landscape:
    """A winding river between meadows, sometimes with a road along it."""
    frame = any_frame(random)
    width = random.uniform(70, 96)
    bend = wavy(random, 14)
    middle = random.uniform(-40, 40)
    bed, sandy = (
        frame.at(np.concatenate([_aside(bend, middle - reach), _aside(bend, middle + reach)[::-1]]))
        for reach in (width / 2, width / 2 + 4)
    )
    layers = (
        Layer("grass", tone(random, (104, 126, 66), 14), place="bank"),
        Layer("soil", tone(random, (158, 144, 106), 8), (sandy,), "mud", rim=1.5),
        Layer("water", tone(random, (62, 98, 104), 10), (bed,), "water", angle=frame.angle + 1.3),
    )
    land = ("bank",)
    homes = {"ship": ("water",), "plane": land, "court": land, "tank": land, "vehicle": land}
    return Landscape(
        "river",
        layers,
        homes | {"building": land},
        axis=frame.angle,
        wooded=("bank",),
        trees=22,
    )
