"""Compose a scene: which landscape, what stands in it, how many and how."""

import numpy as np

from galr.data.scenes import lands, shores
from galr.data.scenes.models import MOST, SIZES
from galr.data.scenes.scene import Group, Landscape, Scene, Tree
from galr.data.scenes.settle import settle, settle_related
from galr.data.scenes.shapes import SIDE
from galr.data.scenes.site import Site

LANDSCAPES = (
    shores.island,
    shores.coast,
    shores.harbour,
    shores.river,
    lands.airport,
    lands.farmland,
    lands.desert,
    lands.town,
    lands.parking_lot,
    lands.sports_ground,
    lands.depot,
)
_MOST_THINGS = 15  # in a scene
_RELATED = 0.45  # of the scenes with several kinds have two that stand by one another
# How likely a kind is wanted where it has a home: the choosier its homes, the likelier.
_WANTED = {"plane": 1.6, "ship": 2.2, "court": 1.2, "tank": 1.1, "vehicle": 0.9, "building": 0.9}


def compose(random: np.random.Generator) -> Scene:
    """Compose one scene, in units: the same draws give the same scene for any size of picture."""
    landscape = LANDSCAPES[random.integers(len(LANDSCAPES))](random)
    site = Site(landscape)
    groups: list[Group] = []
    while not groups:  # a landscape may show too little of the only place that was wanted
        groups = _populated(random, site, _wishes(random, landscape))
    red, green, blue = random.uniform(0.86, 1.12) * random.normal(1, 0.03, 3)
    return Scene(
        landscape,
        tuple(groups),
        trees=_trees(random, site),
        sun=random.uniform(0, 2 * np.pi),
        light=(red, green, blue),
    )


def _populated(
    random: np.random.Generator, site: Site, wishes: list[tuple[str, int]]
) -> list[Group]:
    """Put what is wanted on the site, as far as there is room."""
    groups: list[Group] = []
    if len(wishes) > 1 and random.random() < _RELATED:
        main, anchor = random.permutation(2)
        groups += settle_related(random, site, wishes[main], wishes[anchor][0])
    for kind, count in wishes:
        if kind not in {group.kind for group in groups}:
            group = settle(random, site, kind, count)
            groups += [group] if group else []
    return groups


def _wishes(random: np.random.Generator, landscape: Landscape) -> list[tuple[str, int]]:
    """One to three kinds, those first that need most room, and how many of each are wanted."""
    kinds = list(landscape.homes)
    weights = np.array([_WANTED[kind] for kind in kinds])
    number = int(random.choice([1, 2, 3], p=[0.15, 0.45, 0.4]))
    chosen = random.choice(len(kinds), number, replace=False, p=weights / weights.sum())
    counts = random.integers(1, MOST + 1, number)
    while counts.sum() > _MOST_THINGS:
        counts = random.integers(1, MOST + 1, number)
    wishes = [(kinds[place], int(count)) for place, count in zip(chosen, counts, strict=True)]
    return sorted(wishes, key=lambda wish: -SIZES[wish[0]][0] * wish[1])


def _trees(random: np.random.Generator, site: Site) -> tuple[Tree, ...]:
    """Trees where they may grow and nothing else stands."""
    landscape = site.landscape
    trees = []
    for _ in range(random.integers(landscape.trees + 1)):
        x, y = random.uniform(0, SIDE, 2)
        radius = random.uniform(4, 8)
        if site.clear(x, y, 1.5 * radius, landscape.wooded):
            trees.append(Tree(float(x), float(y), float(radius)))
    return tuple(trees)
