"""Sentences about a scene: all true, of how many, of which kind, in which colour, standing how."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from galr.data.scenes.scene import KINDS, Group, Scene
from galr.data.scenes.words import (
    DRIVES,
    MANNERS,
    NOUNS,
    NUMBERS,
    PLACES,
    ROADS,
    SCENES,
    VERBS,
    listed,
    nouns_of,
    with_article,
)

_T = TypeVar("_T")
_FEW, _MANY = 3, 5  # from here on it is several, and many
_REDRAWS = 20  # of a sentence that has been said already


def sentences_of(scene: Scene, count: int, random: np.random.Generator) -> list[str]:
    """Say a number of things about a scene; the first n are the same whatever the number.

    Of every five, in a random order, four name all or most counts and kinds of the scene (one as a
    list, one with how and where things stand, one with their colours, one with what is absent)
    and one is vaguer, as in real datasets.
    """
    said: list[str] = []
    while len(said) < count:
        for index in random.permutation(len(_DECK)):
            sentence = _DECK[index](random, scene)
            for _ in range(_REDRAWS):
                if sentence not in said:
                    break
                sentence = _DECK[index](random, scene)
            said.append(sentence)
    return said[:count]


def _inventory(random: np.random.Generator, scene: Scene) -> str:
    """All kinds with their counts, mostly with the scene's name."""
    groups = _shuffled(random, scene.groups)
    things = listed([_counted(random, group) for group in groups])
    shown, inside = (_pick(random, words) for words in SCENES[scene.landscape.name])
    frames = (
        f"{things} {inside}",
        f"{shown} with {things}",
        f"{inside} {_there(groups)} {things}",
        f"the image shows {things}",
        f"{_there(groups)} {things} {inside}",
    )
    return _sentence(_pick(random, frames))


def _standing(random: np.random.Generator, scene: Scene) -> str:
    """How and where the things of all groups stand."""
    anchors = {group.other for group in scene.groups if group.manner in _BY_OTHERS}
    speakers = [group for group in scene.groups if group.kind not in anchors]
    verb = bool(random.random() < 0.6)
    clauses = [_clause(random, scene, group, verb) for group in _shuffled(random, speakers)]
    return _sentence(listed(clauses))


def _colours(random: np.random.Generator, scene: Scene) -> str:
    """All counts with their colours."""
    groups = _shuffled(random, scene.groups)
    things = listed([_painted(random, group) for group in groups])
    inside = _pick(random, SCENES[scene.landscape.name][1])
    frames = (things, f"{things} {inside}", f"{_there(groups)} {things}")
    return _sentence(_pick(random, frames))


def _absence(random: np.random.Generator, scene: Scene) -> str:
    """Counts, and a kind that is not there."""
    groups = _shuffled(random, scene.groups)
    counted = [_counted(random, group) for group in groups]
    things = listed(counted)
    absent = _pick(random, [kind for kind in KINDS if not scene.counts[kind]])
    missing = f"no {_noun(random, NOUNS[absent])[1]}"
    inside = _pick(random, SCENES[scene.landscape.name][1])
    frames = (
        f"{_there(groups)} {things} but {missing}",
        f"{things} {inside} but {missing}",
        listed([*counted, missing]),
    )
    return _sentence(_pick(random, frames))


def _vague(random: np.random.Generator, scene: Scene) -> str:
    """Roughly how many of some kinds, or which are more, or how one group stands."""
    groups = _shuffled(random, scene.groups)
    shown, inside = (_pick(random, words) for words in SCENES[scene.landscape.name])
    if len(groups) > 1 and random.random() < 0.35:
        more, less = sorted(groups[:2], key=lambda group: -len(group.things))
        than = "than" if len(more.things) > len(less.things) else "as"
        how = "more" if than == "than" else "as many"
        pair = [_noun(random, nouns_of(group))[1] for group in (more, less)]
        return _sentence(f"there are {how} {pair[0]} {than} {pair[1]} {inside}")
    if random.random() < 0.4:
        return _sentence(_clause(random, scene, groups[0], verb=True))
    things = listed([_rough(random, group) for group in groups[:2]])
    return _sentence(_pick(random, (f"{things} {inside}", f"{shown} with {things}")))


_DECK: tuple[Callable[[np.random.Generator, Scene], str], ...] = (
    _inventory,
    _standing,
    _colours,
    _absence,
    _vague,
)
_BY_OTHERS = ("around", "between", "beside")


def _clause(random: np.random.Generator, scene: Scene, group: Group, verb: bool) -> str:
    """A group, how it stands and where, with or without a verb."""
    count = len(group.things)
    subject = _painted(random, group) if random.random() < 0.4 else _counted(random, group)
    anchors = [other for other in scene.groups if other.kind == group.other]
    place = _pick(random, PLACES[group.place])
    if group.manner == "around" and random.random() < 0.5:
        be = "is " if verb else ""
        return f"{_painted(random, anchors[0])} {be}surrounded by {subject}"
    if group.manner == "free":
        where = place
    elif group.manner == "along":
        line = "dirt track" if group.other == "track" else group.other
        where = f"{'along' if count > 1 else 'beside'} the {line}"
    else:
        where = _pick(random, MANNERS[group.manner])
        if anchors:
            where += f" {_painted(random, anchors[0])}"
        elif random.random() < 0.5:
            where += f" {place}"
    if not verb:
        return f"{subject} {where}"
    verbs = DRIVES if group.kind == "vehicle" and group.place in ROADS else VERBS[group.kind]
    if group.manner == "scattered":
        verbs = verbs[:1]  # nothing is parked scattered
    return f"{subject} {_pick(random, verbs)[int(count > 1)]} {where}"


def _counted(random: np.random.Generator, group: Group) -> str:
    """`three planes`, `a plane`, `a pair of planes`."""
    count = len(group.things)
    one, many = _noun(random, nouns_of(group))
    if count == 1:
        return with_article(one) if random.random() < 0.4 else f"one {one}"
    if count == 2 and random.random() < 0.15:
        return f"a pair of {many}"
    return f"{NUMBERS[count]} {many}"


def _painted(random: np.random.Generator, group: Group) -> str:
    """`three white planes`, `a white plane`, `two red and three white planes`."""
    one, many = _noun(random, nouns_of(group))
    colours = sorted(group.colours.items(), key=lambda item: (item[1], item[0]))
    if len(group.things) == 1 and random.random() < 0.4:
        return with_article(f"{colours[0][0]} {one}")
    parts = " and ".join(f"{NUMBERS[count]} {colour}" for colour, count in colours)
    return f"{parts} {many if colours[-1][1] > 1 else one}"


def _rough(random: np.random.Generator, group: Group) -> str:
    """`a plane`, `some planes`, `several planes`, `many planes`."""
    count = len(group.things)
    one, many = _noun(random, nouns_of(group))
    if count == 1:
        return with_article(one)
    sizes = ("some",) + ("several",) * (count >= _FEW) + ("many",) * 2 * (count >= _MANY)
    return f"{_pick(random, sizes)} {many}"


def _noun(random: np.random.Generator, nouns: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """A noun, singular and plural; half of the time the most common."""
    return nouns[0] if random.random() < 0.5 else _pick(random, nouns)


def _there(groups: Sequence[Group]) -> str:
    """`there is` or `there are`, as the first of some groups asks."""
    return "there is" if len(groups[0].things) == 1 else "there are"


def _shuffled(random: np.random.Generator, groups: Sequence[Group]) -> list[Group]:
    """Groups in a random order."""
    return [groups[index] for index in random.permutation(len(groups))]


def _pick(random: np.random.Generator, options: Sequence[_T]) -> _T:
    """Any one of some options."""
    return options[int(random.integers(len(options)))]


def _sentence(words: str) -> str:
    """A capital in front, a full stop behind."""
    return f"{words[0].upper()}{words[1:]}."
