"""Sentences are read back with a grammar of the test's own and held against the scene."""

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest

from galr.data.scenes.album import scene_of
from galr.data.scenes.grammar import sentences_of
from galr.data.scenes.scene import KINDS
from galr.data.scenes.words import tokens_of
from galr.data.vocabulary import tokenize

PLAIN = {
    "plane": "planes? airplanes? aircraft",
    "ship": "ships? boats? vessels?",
    "court": "(?:tennis_)?courts?",
    "tank": "(?:storage_)?tanks?",
    "vehicle": "cars? vehicles?",
    "building": "buildings? houses?",
}
NOUN = {kind: f"(?:{'|'.join(words.split())})".replace("_", " ") for kind, words in PLAIN.items()}
ANY = f"(?:{'|'.join(NOUN.values())})"
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight"]
VALUE = {word: value for value, word in enumerate(NUMBERS)} | {"a": 1, "an": 1, "a pair of": 2}
NUMBER = r"\b(?:a pair of|" + "|".join([*NUMBERS, "an", "a"]) + ")"
COLOUR = "(?:white|grey|black|red|orange|yellow|green|blue|brown)"
PHRASE = re.compile(rf"((?:{NUMBER} {COLOUR} and )?{NUMBER} (?:{COLOUR} )?)({ANY})\b")
PART = re.compile(rf"({NUMBER}) ({COLOUR})?")
ROUGH = {"some": 2, "several": 3, "many": 5}
VERB = r"(?:(?:is parked|are parked|stands?|lies?|floats?|drives?|is) )?"
MANNERS = {
    r"in a row\b|in a line\b": {"row"},
    r"in two rows\b": {"rows"},
    r"in a ring\b|in a circle\b": {"ring"},
    r"close together|close to each other": {"together"},
    r"scattered|spread out": {"scattered"},
    r"along the ": {"along"},
    r"around (?:a|one)": {"around"},
    r"between (?:one|two)": {"between"},
    r"beside (?:a|one)|next to (?:a|one)": {"beside"},
    r"beside the": {"along"},
}
PLACES = {
    "on the water": {"water"},
    "on the island": {"island"},
    "on the beach": {"beach"},
    "on the sand": {"sand", "beach"},
    "on the grass": {"grass", "island", "bank"},
    "on the quay": {"quay"},
    "on the bank": {"bank"},
    "on the apron": {"apron"},
    "on the runway": {"runway"},
    "on the field": {"field"},
    "among the crops": {"field"},
    "on the dirt track": {"track"},
    "on the road": {"road"},
    "on the asphalt": {"asphalt"},
    "inside the running track": {"infield"},
    "in the yard": {"yard"},
}
DIRECTION = re.compile(
    r"\b(?:north|south|east|west|left|right|above|below|top|bottom|upper|lower|under|over|up|down"
    r"|behind|front|horizontal|vertical)"  # and what begins with them: northern, vertically
)


@cache
def spoken():
    """Scenes, and ten sentences of each."""
    scenes = [scene_of(3, number) for number in range(120)]
    return [(s, sentences_of(s, 10, np.random.default_rng(i))) for i, s in enumerate(scenes)]


def pairs():
    return [(scene, sentence.lower()) for scene, said in spoken() for sentence in said]


def kind_of(noun):
    return next(kind for kind, words in NOUN.items() if re.fullmatch(words, noun))


def phrases(sentence):
    """Each counted noun phrase: its kind, its parts as (colour or None, number), its end."""
    for found in PHRASE.finditer(sentence):
        parts = [(colour or None, VALUE[word]) for word, colour in PART.findall(found[1])]
        yield kind_of(found[2]), parts, found.end()


def group_of(scene, kind):
    return next(group for group in scene.groups if group.kind == kind)


def test_every_number_and_colour_that_is_said_is_so():
    read = Counter()
    for scene, sentence in pairs():
        for kind, parts, _ in phrases(sentence):
            assert sum(number for _, number in parts) == scene.counts[kind], sentence
            read["numbers"] += 1
            said = {colour: number for colour, number in parts if colour}
            if said:
                colours = Counter(thing.colour for thing in group_of(scene, kind).things)
                assert said == colours, sentence
                read["colours"] += 1
    assert read["numbers"] > 1800 and read["colours"] > 500


def test_no_number_escapes_the_reading():
    for scene, sentence in pairs():
        rest = PHRASE.sub("", sentence)
        rest = re.sub(r"in two rows", "", rest)
        assert not re.search(rf"\b(?:{'|'.join(NUMBERS)})\b", rest), (scene.counts, sentence)


def test_rough_numbers_and_comparisons_are_so():
    seen = set()
    for scene, sentence in pairs():
        for word, noun in re.findall(rf"\b(some|several|many) ({ANY})\b", sentence):
            if f"as many {noun}" not in sentence:
                assert scene.counts[kind_of(noun)] >= ROUGH[word], sentence
                seen.add(word)
        for more, less in re.findall(rf"\bmore ({ANY}) than ({ANY})\b", sentence):
            assert scene.counts[kind_of(more)] > scene.counts[kind_of(less)], sentence
            seen.add("more")
        for one, other in re.findall(rf"\bas many ({ANY}) as ({ANY})\b", sentence):
            assert scene.counts[kind_of(one)] == scene.counts[kind_of(other)], sentence
            seen.add("as many")
    assert seen == {"some", "several", "many", "more", "as many"}


def test_what_is_said_of_standing_is_so():
    read = Counter()
    for scene, sentence in pairs():
        for kind, _, end in phrases(sentence):
            if not scene.counts[kind]:
                continue
            group = group_of(scene, kind)
            rest = re.sub(f"^ {VERB}", "", sentence[end:])
            for words, manners in MANNERS.items():
                found = re.match(words, rest)
                if found:
                    assert group.manner in manners, sentence
                    read[group.manner] += 1
                    rest = rest[found.end() :].strip()
                    break
            for words, places in PLACES.items():
                if rest.startswith(words):
                    assert group.place in places, sentence
                    read[words] += 1
    assert len(read) > 20, read


def test_what_is_surrounded_is_in_the_ring_that_is_named():
    found = 0
    for scene, sentence in pairs():
        if " surrounded by " in sentence:
            before, after = map(list, map(phrases, sentence.split("surrounded by")))
            group = group_of(scene, after[0][0])
            assert (group.manner, group.other) == ("around", before[-1][0]), sentence
            found += 1
    assert found > 3


def test_most_sentences_count():
    counted = sum(bool(list(phrases(sentence))) for _, sentence in pairs())
    assert counted > 0.8 * len(pairs())


def test_nothing_is_said_that_turning_the_picture_would_belie():
    assert not [sentence for _, sentence in pairs() if DIRECTION.search(sentence)]


def test_articles_verbs_and_plurals_agree():
    for _, sentence in pairs():
        assert not re.search(r"\ba [aeio]|\ban [^aeiou]", sentence), sentence
        assert not re.search(
            rf"\b(?:a|an|one) (?:{COLOUR} )?\w*(?:planes|ships|courts|tanks|cars)\b", sentence
        )
        for words, parts, _ in phrases(sentence):
            if words != "plane" and parts[-1][1] > 1:
                assert not re.search(
                    rf"\b{NUMBERS[parts[-1][1]]} (?:tank|ship|court|car|house)\b", sentence
                )
        assert not re.search(rf"there are (?:a|an|one) (?!pair)(?:{ANY})\b", sentence), sentence
        assert not re.search(r"there is (?:two|three|four|five|six|seven|eight)\b", sentence)


@pytest.mark.parametrize("count", [1, 5, 7])
def test_the_first_sentences_are_the_same_whatever_the_number(count):
    scene, said = spoken()[0]
    assert sentences_of(scene, count, np.random.default_rng(0)) == said[:count]


def test_sentences_of_an_image_differ_and_images_differ():
    five = [tuple(said[:5]) for _, said in spoken()]
    assert np.mean([len(set(said)) for said in five]) > 4.9
    every = [sentence for said in five for sentence in said]
    assert len(set(every)) > 0.95 * len(every)


def test_tokens_are_those_of_the_pipeline():
    for _, sentence in pairs():
        assert tokens_of(sentence) == tokenize(sentence)


def test_every_kind_is_spoken_of_as_absent_too():
    absent = {
        kind
        for _, sentence in pairs()
        for kind, parts, _ in phrases(sentence)
        if parts == [(None, 0)]
    }
    assert absent == set(KINDS)
