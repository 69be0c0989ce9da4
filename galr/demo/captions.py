"""Sentences about a scene: how many objects of which kind and colour, and how they are arranged.

Every sentence is true and stays true when the image is rotated or mirrored: none names a direction.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from galr.demo.scene import KINDS, ObjectGroup, Scene

_T = TypeVar("_T")
Forms = tuple[str, str]  # singular and plural

_MANY, _SEVERAL = 5, 3  # the smallest counts that are called so
_RETRIES = 20  # of a sentence that was generated already
_RELATIVE = ("around", "between", "beside")  # arrangements whose anchor is another kind
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_NOUNS: dict[str, tuple[Forms, ...]] = {  # the first is the most common
    "plane": (("plane", "planes"), ("airplane", "airplanes"), ("aircraft", "aircraft")),
    "ship": (("ship", "ships"), ("boat", "boats"), ("vessel", "vessels")),
    "court": (("tennis court", "tennis courts"), ("court", "courts")),
    "tank": (("storage tank", "storage tanks"), ("tank", "tanks")),
    "vehicle": (("car", "cars"), ("vehicle", "vehicles")),
    "building": (("building", "buildings"),),
}
_PITCHED_ROOF: Forms = ("house", "houses")  # another noun for buildings without a flat roof
_VERBS: dict[str, tuple[Forms, ...]] = {
    "plane": (("stands", "stand"), ("is parked", "are parked")),
    "ship": (("lies", "lie"), ("floats", "float")),
    "court": (("lies", "lie"),),
    "tank": (("stands", "stand"),),
    "vehicle": (("stands", "stand"), ("is parked", "are parked")),
    "building": (("stands", "stand"),),
}
_ON_ROADS = ("road", "track")  # surfaces on which a vehicle drives
_DRIVES: tuple[Forms, ...] = (("drives", "drive"),)
_LANDSCAPES = {  # as what the image shows, and as where things are
    "island": (("an island", "an island in the sea"), ("at an island", "near an island")),
    "coast": (("a coast", "the seaside"), ("at the coast", "by the sea")),
    "harbour": (("a harbour", "a port"), ("in a harbour", "in a port")),
    "river": (("a river", "a river bank"), ("at a river", "by a river")),
    "airport": (("an airport",), ("at an airport",)),
    "farmland": (("farmland", "a farm"), ("on farmland", "on a farm")),
    "desert": (("a desert", "a sandy desert"), ("in a desert", "in the desert")),
    "town": (("a residential area",), ("in a residential area",)),
    "parking lot": (("a parking lot",), ("at a parking lot", "in a parking lot")),
    "sports ground": (("a sports ground", "a running track"), ("at a sports ground",)),
    "depot": (("an industrial area", "a depot"), ("in an industrial area", "at a depot")),
}
_SURFACES = {
    "water": ("on the water",),
    "island": ("on the island", "on the grass"),
    "beach": ("on the beach", "on the sand"),
    "grass": ("on the grass",),
    "quay": ("on the quay",),
    "bank": ("on the bank", "on the grass"),
    "apron": ("on the apron",),
    "runway": ("on the runway",),
    "field": ("on the field", "among the crops"),
    "track": ("on the dirt track",),
    "sand": ("on the sand",),
    "road": ("on the road",),
    "asphalt": ("on the asphalt",),
    "infield": ("inside the running track",),
    "yard": ("in the yard",),
}
_ARRANGEMENTS = {
    "row": ("in a row", "in a line"),
    "rows": ("in two rows",),
    "ring": ("in a ring", "in a circle"),
    "together": ("close together", "close to each other"),
    "scattered": ("scattered", "spread out"),
    "around": ("around",),
    "between": ("between",),
    "beside": ("beside", "next to"),
}


def generate_captions(scene: Scene, count: int, random: np.random.Generator) -> list[str]:
    """Generate sentences about a scene; the first n are the same whatever the count.

    Of every five, in a random order, four name the counts and kinds of all or most groups (one as a
    list, one with arrangements, one with colours, one with an absent kind) and one is vague, as in
    real datasets.

    Args:
        scene: the scene.
        count: number of sentences.
        random: source of all choices.

    Returns:
        `count` sentences; a repeated one is possible but rare.
    """
    sentences: list[str] = []
    while len(sentences) < count:
        for index in random.permutation(len(_TEMPLATES)):
            sentence = _TEMPLATES[index](random, scene)
            for _ in range(_RETRIES):
                if sentence not in sentences:
                    break
                sentence = _TEMPLATES[index](random, scene)
            sentences.append(sentence)
    return sentences[:count]


def split_words(sentence: str) -> list[str]:
    """Return the lower-case words of a generated sentence, without commas and full stop."""
    return sentence.lower().replace(",", "").replace(".", "").split()


def _list_of_groups(random: np.random.Generator, scene: Scene) -> str:
    """Name all groups with their counts, mostly with the landscape."""
    groups = _shuffled(random, scene.groups)
    objects = _joined([_counted(random, group) for group in groups])
    shown, where = (_pick(random, phrases) for phrases in _LANDSCAPES[scene.landscape.name])
    options = (
        f"{objects} {where}",
        f"{shown} with {objects}",
        f"{where} {_there_is(groups)} {objects}",
        f"the image shows {objects}",
        f"{_there_is(groups)} {objects} {where}",
    )
    return _sentence(_pick(random, options))


def _with_arrangements(random: np.random.Generator, scene: Scene) -> str:
    """Name how and where the objects of all groups stand."""
    anchors = {group.anchor for group in scene.groups if group.arrangement in _RELATIVE}
    subjects = [group for group in scene.groups if group.kind not in anchors]
    with_verb = bool(random.random() < 0.6)
    clauses = [_clause(random, scene, group, with_verb) for group in _shuffled(random, subjects)]
    return _sentence(_joined(clauses))


def _with_colours(random: np.random.Generator, scene: Scene) -> str:
    """Name all groups with their counts and colours."""
    groups = _shuffled(random, scene.groups)
    objects = _joined([_coloured(random, group) for group in groups])
    where = _pick(random, _LANDSCAPES[scene.landscape.name][1])
    options = (objects, f"{objects} {where}", f"{_there_is(groups)} {objects}")
    return _sentence(_pick(random, options))


def _with_absent_kind(random: np.random.Generator, scene: Scene) -> str:
    """Name all groups with their counts, and a kind that is absent."""
    groups = _shuffled(random, scene.groups)
    counted = [_counted(random, group) for group in groups]
    objects = _joined(counted)
    absent = _pick(random, [kind for kind in KINDS if not scene.counts[kind]])
    missing = f"no {_noun(random, _NOUNS[absent])[1]}"
    where = _pick(random, _LANDSCAPES[scene.landscape.name][1])
    options = (
        f"{_there_is(groups)} {objects} but {missing}",
        f"{objects} {where} but {missing}",
        _joined([*counted, missing]),
    )
    return _sentence(_pick(random, options))


def _vague(random: np.random.Generator, scene: Scene) -> str:
    """Give rough counts, or compare two kinds, or describe a single group."""
    groups = _shuffled(random, scene.groups)
    shown, where = (_pick(random, phrases) for phrases in _LANDSCAPES[scene.landscape.name])
    if len(groups) > 1 and random.random() < 0.35:
        more, less = sorted(groups[:2], key=lambda group: -len(group.objects))
        first, second = (_noun(random, _nouns(group))[1] for group in (more, less))
        if len(more.objects) > len(less.objects):
            return _sentence(f"there are more {first} than {second} {where}")
        return _sentence(f"there are as many {first} as {second} {where}")
    if random.random() < 0.4:
        return _sentence(_clause(random, scene, groups[0], with_verb=True))
    objects = _joined([_rough(random, group) for group in groups[:2]])
    return _sentence(_pick(random, (f"{objects} {where}", f"{shown} with {objects}")))


_TEMPLATES: tuple[Callable[[np.random.Generator, Scene], str], ...] = (
    _list_of_groups,
    _with_arrangements,
    _with_colours,
    _with_absent_kind,
    _vague,
)


def _clause(random: np.random.Generator, scene: Scene, group: ObjectGroup, with_verb: bool) -> str:
    """Describe a group, its arrangement and its surface, with or without a verb."""
    count = len(group.objects)
    subject = _coloured(random, group) if random.random() < 0.4 else _counted(random, group)
    anchors = [other for other in scene.groups if other.kind == group.anchor]
    surface = _pick(random, _SURFACES[group.surface])
    if group.arrangement == "around" and random.random() < 0.5:
        verb = "is " if with_verb else ""
        return f"{_coloured(random, anchors[0])} {verb}surrounded by {subject}"
    if group.arrangement == "free":
        where = surface
    elif group.arrangement == "along":
        feature = "dirt track" if group.anchor == "track" else group.anchor
        where = f"{'along' if count > 1 else 'beside'} the {feature}"
    else:
        where = _pick(random, _ARRANGEMENTS[group.arrangement])
        if anchors:
            where += f" {_coloured(random, anchors[0])}"
        elif random.random() < 0.5:
            where += f" {surface}"
    if not with_verb:
        return f"{subject} {where}"
    driving = group.kind == "vehicle" and group.surface in _ON_ROADS
    verbs = _DRIVES if driving else _VERBS[group.kind]
    if group.arrangement == "scattered":
        verbs = verbs[:1]  # `is parked scattered` is not English
    return f"{subject} {_pick(random, verbs)[int(count > 1)]} {where}"


def _counted(random: np.random.Generator, group: ObjectGroup) -> str:
    """Return `three planes`, `a plane` or `a pair of planes`."""
    count = len(group.objects)
    singular, plural = _noun(random, _nouns(group))
    if count == 1:
        return _with_article(singular) if random.random() < 0.4 else f"one {singular}"
    if count == 2 and random.random() < 0.15:
        return f"a pair of {plural}"
    return f"{_NUMBERS[count]} {plural}"


def _coloured(random: np.random.Generator, group: ObjectGroup) -> str:
    """Return `three white planes`, `a white plane` or `two red and three white planes`."""
    singular, plural = _noun(random, _nouns(group))
    colours = sorted(group.colour_counts.items(), key=lambda item: (item[1], item[0]))
    if len(group.objects) == 1 and random.random() < 0.4:
        return _with_article(f"{colours[0][0]} {singular}")
    numbers = " and ".join(f"{_NUMBERS[count]} {colour}" for colour, count in colours)
    return f"{numbers} {plural if colours[-1][1] > 1 else singular}"


def _rough(random: np.random.Generator, group: ObjectGroup) -> str:
    """Return `a plane`, `some planes`, `several planes` or `many planes`."""
    count = len(group.objects)
    singular, plural = _noun(random, _nouns(group))
    if count == 1:
        return _with_article(singular)
    amounts = ("some",) + ("several",) * (count >= _SEVERAL) + ("many",) * 2 * (count >= _MANY)
    return f"{_pick(random, amounts)} {plural}"


def _nouns(group: ObjectGroup) -> tuple[Forms, ...]:
    """Return the nouns that fit a group."""
    pitched = group.kind == "building" and all(item.style < 2 for item in group.objects)
    return _NOUNS[group.kind] + ((_PITCHED_ROOF,) if pitched else ())


def _noun(random: np.random.Generator, nouns: tuple[Forms, ...]) -> Forms:
    """Pick a noun, half of the time the most common one."""
    return nouns[0] if random.random() < 0.5 else _pick(random, nouns)


def _there_is(groups: Sequence[ObjectGroup]) -> str:
    """Return `there is` or `there are`, by the number of the first group."""
    return "there is" if len(groups[0].objects) == 1 else "there are"


def _with_article(phrase: str) -> str:
    """Put `a` or `an` before a singular phrase."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _joined(phrases: list[str]) -> str:
    """Join phrases: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def _shuffled(random: np.random.Generator, groups: Sequence[ObjectGroup]) -> list[ObjectGroup]:
    """Return groups in a random order."""
    return [groups[index] for index in random.permutation(len(groups))]


def _pick(random: np.random.Generator, options: Sequence[_T]) -> _T:
    """Pick one of some options at random."""
    return options[int(random.integers(len(options)))]


def _sentence(words: str) -> str:
    """Add a capital letter and a full stop."""
    return f"{words[0].upper()}{words[1:]}."
