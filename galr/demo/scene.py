"""The values that describe a scene, in world units (see `galr.demo.geometry`)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

# The object classes, in the order of the detector's class ids.
KINDS = ("plane", "ship", "court", "tank", "vehicle", "building")


@dataclass(frozen=True)
class SceneObject:
    """One object, viewed from above.

    Attributes:
        kind: one of `KINDS`.
        x: centre, units.
        y: centre, units.
        angle: heading, radians.
        length: extent along the heading, units.
        width: extent across the heading, units.
        colour: its name in sentences, a key of `galr.demo.objects.COLOUR_RGB`.
        style: index of its silhouette among those of its kind.
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
    """One material that covers a part of the world.

    Attributes:
        material: a key of `galr.demo.textures.MATERIALS`.
        colour: mean colour, RGB in [0, 255].
        polygons: the covered area, each (corners, 2) float in units; None is the whole world.
        surface: name of the surface that objects stand on here; None keeps that of the layer below.
        angle: direction of its rows or waves, radians.
        edge_width: width of a light line along its edge, units; 0 draws none.
        height: height of its edge above the layer below, units; above 0 it casts a shadow.
    """

    material: str
    colour: tuple[float, float, float]
    polygons: tuple[np.ndarray, ...] | None = None
    surface: str | None = None
    angle: float = 0.0
    edge_width: float = 0.0
    height: float = 0.0


@dataclass(frozen=True)
class LinearFeature:
    """A straight pier, quay, road or runway that objects stand along.

    Attributes:
        name: its name in sentences.
        start: (2,) float, units.
        end: (2,) float, units.
        width: of the feature, units.
        surface: the surface of the objects along it.
    """

    name: str
    start: np.ndarray
    end: np.ndarray
    width: float
    surface: str


@dataclass(frozen=True)
class Landscape:
    """The ground of a scene, without objects.

    Attributes:
        name: the scene's name in sentences.
        layers: from the lowest to the highest; the lowest covers the whole world.
        allowed_surfaces: for each kind the surfaces it may stand on; a repeated one is likelier.
        axis: the direction of its roads, shores and runways, radians.
        features: what objects may stand along.
        parking_rows: rows of marked bays, each (bays, 3) float: x and y of the centre, heading.
        tree_surfaces: the surfaces that trees may grow on.
        max_trees: the largest number of trees.
    """

    name: str
    layers: tuple[Layer, ...]
    allowed_surfaces: Mapping[str, tuple[str, ...]]
    axis: float
    features: tuple[LinearFeature, ...] = ()
    parking_rows: tuple[np.ndarray, ...] = ()
    tree_surfaces: tuple[str, ...] = ()
    max_trees: int = 0


@dataclass(frozen=True)
class ObjectGroup:
    """All objects of one kind in a scene, and their arrangement.

    Attributes:
        kind: one of `KINDS`.
        objects: at least one.
        surface: the surface they stand on.
        arrangement: `row`, `rows`, `ring`, `together`, `scattered`, `along` a linear feature,
            `around`, `between` or `beside` objects of another kind, or `free`, which sentences do
            not mention.
        anchor: name of the linear feature, or the other kind, where the arrangement has one.
    """

    kind: str
    objects: tuple[SceneObject, ...]
    surface: str
    arrangement: str = "free"
    anchor: str | None = None

    @property
    def colour_counts(self) -> Counter[str]:
        """The number of objects of each colour."""
        return Counter(item.colour for item in self.objects)


@dataclass(frozen=True)
class Tree:
    """A tree. It is decoration and belongs to no object class.

    Attributes:
        x: centre, units.
        y: centre, units.
        radius: of the crown, units.
    """

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """A landscape with its objects and its light.

    Attributes:
        landscape: the ground.
        groups: one for each kind that is present.
        trees: decoration.
        shadow_angle: direction in which shadows fall, radians.
        channel_gains: factors on red, green and blue of the whole image.
        counts: the number of objects of every kind, 0 for absent ones.
    """

    landscape: Landscape
    groups: tuple[ObjectGroup, ...]
    trees: tuple[Tree, ...] = ()
    shadow_angle: float = 0.0
    channel_gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    counts: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Count the objects of every kind."""
        present = {group.kind: len(group.objects) for group in self.groups}
        object.__setattr__(self, "counts", {kind: present.get(kind, 0) for kind in KINDS})

    @property
    def objects(self) -> tuple[SceneObject, ...]:
        """Every object, group by group."""
        return tuple(item for group in self.groups for item in group.objects)
