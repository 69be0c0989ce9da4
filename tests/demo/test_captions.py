"""Sentences are parsed with a grammar of the test's own and compared with the scene."""

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest

from galr.data.vocabulary import tokenize
from galr.demo.captions import generate_captions, split_words
from galr.demo.samples import sample_scene
from galr.demo.scene import KINDS

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
ARRANGEMENTS = {
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
SURFACES = {
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
def captioned_scenes():
    """Scenes with ten sentences each."""
    scenes = [sample_scene(3, index) for index in range(120)]
    return [(s, generate_captions(s, 10, np.random.default_rng(i))) for i, s in enumerate(scenes)]


def pairs():
    return [
        (scene, sentence.lower())
        for scene, sentences in captioned_scenes()
        for sentence in sentences
    ]


def kind_of(noun):
    return next(kind for kind, words in NOUN.items() if re.fullmatch(words, noun))


def phrases(sentence):
    """Yield kind, parts as (colour or None, number), and end of each counted noun phrase."""
    for match in PHRASE.finditer(sentence):
        parts = [(colour or None, VALUE[word]) for word, colour in PART.findall(match[1])]
        yield kind_of(match[2]), parts, match.end()


def group_of(scene, kind):
    return next(group for group in scene.groups if group.kind == kind)


def test_every_number_and_colour_is_true():
    checked = Counter()
    for scene, sentence in pairs():
        for kind, parts, _ in phrases(sentence):
            assert sum(number for _, number in parts) == scene.counts[kind], sentence
            checked["numbers"] += 1
            named = {colour: number for colour, number in parts if colour}
            if named:
                colours = Counter(item.colour for item in group_of(scene, kind).objects)
                assert named == colours, sentence
                checked["colours"] += 1
    assert checked["numbers"] > 1800 and checked["colours"] > 500


def test_every_number_is_parsed():
    for scene, sentence in pairs():
        rest = PHRASE.sub("", sentence)
        rest = re.sub(r"in two rows", "", rest)
        assert not re.search(rf"\b(?:{'|'.join(NUMBERS)})\b", rest), (scene.counts, sentence)


def test_rough_numbers_and_comparisons_are_true():
    words_tested = set()
    for scene, sentence in pairs():
        for word, noun in re.findall(rf"\b(some|several|many) ({ANY})\b", sentence):
            if f"as many {noun}" not in sentence:
                assert scene.counts[kind_of(noun)] >= ROUGH[word], sentence
                words_tested.add(word)
        for more, less in re.findall(rf"\bmore ({ANY}) than ({ANY})\b", sentence):
            assert scene.counts[kind_of(more)] > scene.counts[kind_of(less)], sentence
            words_tested.add("more")
        for one, other in re.findall(rf"\bas many ({ANY}) as ({ANY})\b", sentence):
            assert scene.counts[kind_of(one)] == scene.counts[kind_of(other)], sentence
            words_tested.add("as many")
    assert words_tested == {"some", "several", "many", "more", "as many"}


def test_every_arrangement_and_surface_is_true():
    checked = Counter()
    for scene, sentence in pairs():
        for kind, _, end in phrases(sentence):
            if not scene.counts[kind]:
                continue
            group = group_of(scene, kind)
            rest = re.sub(f"^ {VERB}", "", sentence[end:])
            for words, arrangements in ARRANGEMENTS.items():
                match = re.match(words, rest)
                if match:
                    assert group.arrangement in arrangements, sentence
                    checked[group.arrangement] += 1
                    rest = rest[match.end() :].strip()
                    break
            for words, surfaces in SURFACES.items():
                if rest.startswith(words):
                    assert group.surface in surfaces, sentence
                    checked[words] += 1
    assert len(checked) > 20, checked


def test_a_surrounded_object_is_the_anchor_of_the_group_around_it():
    count = 0
    for scene, sentence in pairs():
        if " surrounded by " in sentence:
            before, after = map(list, map(phrases, sentence.split("surrounded by")))
            group = group_of(scene, after[0][0])
            assert (group.arrangement, group.anchor) == ("around", before[-1][0]), sentence
            count += 1
    assert count > 3


def test_most_sentences_contain_a_number():
    counted = sum(bool(list(phrases(sentence))) for _, sentence in pairs())
    assert counted > 0.8 * len(pairs())


def test_no_sentence_names_a_direction_that_rotation_would_make_false():
    assert not [sentence for _, sentence in pairs() if DIRECTION.search(sentence)]


def test_articles_verbs_and_plurals_agree():
    for _, sentence in pairs():
        assert not re.search(r"\ba [aeio]|\ban [^aeiou]", sentence), sentence
        assert not re.search(
            rf"\b(?:a|an|one) (?:{COLOUR} )?\w*(?:planes|ships|courts|tanks|cars)\b", sentence
        )
        for kind, parts, _ in phrases(sentence):
            if kind != "plane" and parts[-1][1] > 1:
                assert not re.search(
                    rf"\b{NUMBERS[parts[-1][1]]} (?:tank|ship|court|car|house)\b", sentence
                )
        assert not re.search(rf"there are (?:a|an|one) (?!pair)(?:{ANY})\b", sentence), sentence
        assert not re.search(r"there is (?:two|three|four|five|six|seven|eight)\b", sentence)


@pytest.mark.parametrize("count", [1, 5, 7])
def test_the_first_sentences_do_not_depend_on_the_count(count):
    scene, sentences = captioned_scenes()[0]
    assert generate_captions(scene, count, np.random.default_rng(0)) == sentences[:count]


def test_sentences_differ_within_an_image_and_between_images():
    five = [sentences[:5] for _, sentences in captioned_scenes()]
    assert np.mean([len(set(sentences)) for sentences in five]) > 4.9
    every = [sentence for sentences in five for sentence in sentences]
    assert len(set(every)) > 0.95 * len(every)


def test_words_are_the_tokens_of_the_data_command():
    for _, sentence in pairs():
        assert split_words(sentence) == tokenize(sentence)


def test_every_kind_is_named_as_absent_in_some_sentence():
    absent = {
        kind
        for _, sentence in pairs()
        for kind, parts, _ in phrases(sentence)
        if parts == [(None, 0)]
    }
    assert absent == set(KINDS)
