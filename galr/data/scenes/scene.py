"""What a scene is made of: values only, in units of the world (see `shapes`)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

KINDS = (
    "plane",
    "ship",
    "court",
    "tank",
    "vehicle",
    "building",
)  # the detector's classes, in order


@dataclass(frozen=True)
class Thing:
    """One object, seen from above.

    Attributes:
        kind: one of `KINDS`.
        x: centre, units.
        y: centre, units.
        angle: heading, radians.
        length: extent along the heading, units.
        width: extent across the heading, units.
        colour: what a sentence would call it, a key of `brush.PAINT`.
        style: which of the kind's looks it has.
    """

    kind: str
    x: float
    y: float
    angle: float
    length: float
    width: float
    colour: str
    style: int


@dataclass(frozen=True)
class Layer:
    """One material painted over some of the world.

    Attributes:
        material: a key of `ground.MATERIALS`.
        colour: mean colour, RGB in [0, 255].
        polygons: where; None is everywhere.
        place: what things on it stand on; None leaves the place below as it was.
        angle: direction of its rows or waves, radians.
        rim: width of a light line along its edge, units.
        height: how far its edge stands over what is below, units; it casts a shadow.
    """

    material: str
    colour: tuple[float, float, float]
    polygons: tuple[np.ndarray, ...] | None = None
    place: str | None = None
    angle: float = 0.0
    rim: float = 0.0
    height: float = 0.0


@dataclass(frozen=True)
class Line:
    """A straight feature that things stand along.

    Attributes:
        name: what a sentence would call it: pier, quay, road, runway.
        start: (2,) units.
        end: (2,) units.
        width: of the feature, units.
        place: where the things along it stand.
    """

    name: str
    start: np.ndarray
    end: np.ndarray
    width: float
    place: str


@dataclass(frozen=True)
class Landscape:
    """The ground of a scene, before anything stands on it.

    Attributes:
        name: what a sentence would call the scene.
        layers: painted in this order.
        homes: the places where each kind may stand, as often as it is likely.
        axis: the direction that roads, shores and runways follow, radians.
        lines: what things may stand along.
        bays: rows of marked parking bays, each (bays, 3): x and y of its middle, heading.
        wooded: the places where trees may grow.
        trees: how many grow at most.
    """

    name: str
    layers: tuple[Layer, ...]
    homes: Mapping[str, tuple[str, ...]]
    axis: float
    lines: tuple[Line, ...] = ()
    bays: tuple[np.ndarray, ...] = ()
    wooded: tuple[str, ...] = ()
    trees: int = 0


@dataclass(frozen=True)
class Group:
    """All things of one kind in a scene, and how they stand.

    Attributes:
        kind: one of `KINDS`.
        things: at least one.
        place: what they stand on.
        manner: `row`, `rows`, `ring`, `together`, `scattered`, `along` a line, `around`, `between`
            or `beside` things of another kind, or `free`: nothing to say.
        other: the line's name or the other kind, where the manner has one.
    """

    kind: str
    things: tuple[Thing, ...]
    place: str
    manner: str = "free"
    other: str | None = None

    @property
    def colours(self) -> Counter[str]:
        """How many things have each colour."""
        return Counter(thing.colour for thing in self.things)


@dataclass(frozen=True)
class Tree:
    """A tree: decoration, no object of any class."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """A landscape with everything in it.

    Attributes:
        landscape: the ground.
        groups: one for each kind that is there.
        trees: decoration.
        sun: direction in which shadows fall, radians.
        light: gains of red, green and blue of the whole picture.
    """

    landscape: Landscape
    groups: tuple[Group, ...]
    trees: tuple[Tree, ...] = ()
    sun: float = 0.0
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)
    counts: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Count the things of every kind, absent ones too."""
        there = {group.kind: len(group.things) for group in self.groups}
        object.__setattr__(self, "counts", {kind: there.get(kind, 0) for kind in KINDS})

    @property
    def things(self) -> tuple[Thing, ...]:
        """Every object, group by group."""
        return tuple(thing for group in self.groups for thing in group.things)
