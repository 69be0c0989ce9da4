"""The samples of the demo dataset: a scene is composed, rendered and described.

A sample depends on the seed, its index and the size alone: a larger dataset begins with the samples
of a smaller one, and the number of sentences does not change the images.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from galr.demo.captions import generate_captions, split_words
from galr.demo.geometry import WORLD_SIZE
from galr.demo.landscapes import LANDSCAPES
from galr.demo.objects import MAX_PER_KIND, OBJECT_HEIGHTS, OBJECT_SIZES
from galr.demo.placement import Site, place_group, place_related
from galr.demo.scene import KINDS, Landscape, ObjectGroup, Scene, Tree
from galr.demo.sprites import render_object, render_tree
from galr.demo.textures import cast_shadows, render_layers, smooth_noise
from galr.io.coco import annotation

_TEST_DIGITS = (1, 4, 7)  # an index that ends in one of them is a test sample: 30 of 100
_COMPOSE, _RENDER, _CAPTION = range(3)  # purposes that have random generators of their own
_MAX_OBJECTS = 15  # in a scene
_RELATED_PROBABILITY = 0.45  # of a scene with several kinds to have two that are arranged together
_TREE_HEIGHT = 4  # units
# Weights of the kinds where they are allowed: higher for kinds that few landscapes allow.
_KIND_WEIGHTS = {
    "plane": 1.6,
    "ship": 2.2,
    "court": 1.2,
    "tank": 1.1,
    "vehicle": 0.9,
    "building": 0.9,
}

PixelBox = tuple[int, int, int, int]  # left, top, right, bottom; the last two are exclusive


@dataclass(frozen=True)
class Sample:
    """The annotations of one image.

    Attributes:
        index: from 0.
        size: side of the image, pixels.
        kinds: of every object, one of `KINDS`.
        boxes: of every object, pixels.
        sentences: about the image.
    """

    index: int
    size: int
    kinds: tuple[str, ...]
    boxes: tuple[PixelBox, ...]
    sentences: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """The index counted from 1, in at least four digits, and `.png`."""
        return f"{self.index + 1:04d}.png"

    @property
    def split(self) -> str:
        """`train` or `test`, by the index alone."""
        return "test" if self.index % 10 in _TEST_DIGITS else "train"


def render_sample(seed: int, index: int, *, size: int, sentences: int) -> tuple[np.ndarray, Sample]:
    """Render one image and its annotations.

    Args:
        seed: of the dataset, at least 0.
        index: of the image, from 0.
        size: side of the image, pixels, at least 64.
        sentences: number of sentences.

    Returns:
        The image, (size, size, 3) uint8 RGB, and its annotations.
    """
    scene = sample_scene(seed, index)
    image, boxes = render_scene(scene, size, _generator(seed, index, _RENDER))
    captions = generate_captions(scene, sentences, _generator(seed, index, _CAPTION))
    kinds = tuple(item.kind for item in scene.objects)
    return image, Sample(index, size, kinds, tuple(boxes), tuple(captions))


def sample_scene(seed: int, index: int) -> Scene:
    """Compose the scene of an index in the dataset of a seed."""
    return compose_scene(_generator(seed, index, _COMPOSE))


def compose_scene(random: np.random.Generator) -> Scene:
    """Compose a scene: a landscape, one to three groups of objects, trees and light."""
    landscape = LANDSCAPES[random.integers(len(LANDSCAPES))](random)
    site = Site(landscape)
    groups: list[ObjectGroup] = []
    while not groups:  # too little of the only allowed surface may lie in the world
        groups = _place_objects(random, site, _sample_counts(random, landscape))
    red, green, blue = random.uniform(0.86, 1.12) * random.normal(1, 0.03, 3)
    return Scene(
        landscape,
        tuple(groups),
        trees=_place_trees(random, site),
        shadow_angle=random.uniform(0, 2 * np.pi),
        channel_gains=(red, green, blue),
    )


def render_scene(
    scene: Scene, size: int, random: np.random.Generator
) -> tuple[np.ndarray, list[PixelBox]]:
    """Render a scene.

    Args:
        scene: what to render.
        size: side of the image, pixels.
        random: source of textures, leaves and grain.

    Returns:
        The image, (size, size, 3) uint8 RGB, and the exact box of each of `scene.objects`: around
        the pixels that the object covers at least by half.
    """
    image = render_layers(scene.landscape.layers, size, scene.shadow_angle, random)
    sprites = [render_object(item, size, scene.shadow_angle) for item in scene.objects]
    trees = [render_tree(tree, size, random) for tree in scene.trees]
    heights = [OBJECT_HEIGHTS[item.kind] for item in scene.objects] + [_TREE_HEIGHT] * len(trees)
    upright = [
        (sprite.mask, sprite.corner, height)
        for sprite, height in zip(sprites + trees, heights, strict=True)
        if height
    ]
    shadow = cast_shadows(upright, size, scene.shadow_angle)
    image *= 1 - 0.5 / 255 * np.asarray(shadow, np.float32)[..., None]
    for sprite in trees + sprites:
        sprite.blend_into(image)
    return _expose(image, scene, random), [sprite.visible_box for sprite in sprites]


def to_karpathy(samples: Iterable[Sample]) -> dict[str, Any]:
    """Describe images, splits and sentences in the Karpathy layout."""
    return {
        "dataset": "demo",
        "images": [
            {
                "filename": sample.file_name,
                "split": sample.split,
                "sentences": [
                    {"raw": sentence, "tokens": split_words(sentence)}
                    for sentence in sample.sentences
                ],
            }
            for sample in samples
        ],
    }


def to_coco(samples: Iterable[Sample], split: str) -> dict[str, Any]:
    """Describe the boxes of one split in the COCO layout; class ids are indices of `KINDS` plus 1."""
    chosen = [sample for sample in samples if sample.split == split]
    boxes = [
        (sample.index + 1, KINDS.index(kind) + 1, box)
        for sample in chosen
        for kind, box in zip(sample.kinds, sample.boxes, strict=True)
    ]
    return {
        "images": [
            {
                "id": sample.index + 1,
                "file_name": sample.file_name,
                "width": sample.size,
                "height": sample.size,
            }
            for sample in chosen
        ],
        "categories": [{"id": number, "name": kind} for number, kind in enumerate(KINDS, start=1)],
        "annotations": [
            annotation(number, image, category, (left, top, right - left, bottom - top))
            for number, (image, category, (left, top, right, bottom)) in enumerate(boxes, start=1)
        ],
    }


def _generator(seed: int, index: int, purpose: int) -> np.random.Generator:
    """Return the random generator of one sample for one purpose."""
    return np.random.default_rng([seed, index, purpose])


def _sample_counts(random: np.random.Generator, landscape: Landscape) -> list[tuple[str, int]]:
    """Sample one to three kinds and their numbers of objects, those that need most space first."""
    kinds = list(landscape.allowed_surfaces)
    weights = np.array([_KIND_WEIGHTS[kind] for kind in kinds])
    number = int(random.choice([1, 2, 3], p=[0.15, 0.45, 0.4]))
    chosen = random.choice(len(kinds), number, replace=False, p=weights / weights.sum())
    counts = random.integers(1, MAX_PER_KIND + 1, number)
    while counts.sum() > _MAX_OBJECTS:
        counts = random.integers(1, MAX_PER_KIND + 1, number)
    wanted = [(kinds[index], int(count)) for index, count in zip(chosen, counts, strict=True)]
    return sorted(wanted, key=lambda pair: -OBJECT_SIZES[pair[0]][0] * pair[1])


def _place_objects(
    random: np.random.Generator, site: Site, wanted: list[tuple[str, int]]
) -> list[ObjectGroup]:
    """Place the wanted numbers of each kind, as far as there is space."""
    groups: list[ObjectGroup] = []
    if len(wanted) > 1 and random.random() < _RELATED_PROBABILITY:
        main, anchor = random.permutation(2)
        groups += place_related(random, site, wanted[main], wanted[anchor][0])
    for kind, count in wanted:
        if kind not in {group.kind for group in groups}:
            group = place_group(random, site, kind, count)
            groups += [group] if group else []
    return groups


def _place_trees(random: np.random.Generator, site: Site) -> tuple[Tree, ...]:
    """Place trees where they may grow, clear of all objects."""
    landscape = site.landscape
    trees = []
    for _ in range(random.integers(landscape.max_trees + 1)):
        x, y = random.uniform(0, WORLD_SIZE, 2)
        radius = random.uniform(4, 8)
        if site.is_clear(x, y, 1.5 * radius, landscape.tree_surfaces):
            trees.append(Tree(float(x), float(y), float(radius)))
    return tuple(trees)


def _expose(image: np.ndarray, scene: Scene, random: np.random.Generator) -> np.ndarray:
    """Add the scene's light, thin clouds and camera grain; (size, size, 3) float32 to uint8."""
    size = len(image)
    haze = 1 + 0.025 * smooth_noise(random, size, 90)[..., None]
    grain = random.standard_normal((size, size, 1), np.float32) * 2
    exposed = image * haze * np.array(scene.channel_gains, np.float32) + grain
    return exposed.clip(0, 255).round().astype(np.uint8)
