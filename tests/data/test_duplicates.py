"""Pairs of equal files and of similar hashes, against all pairs one by one."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.data import duplicates
from galr.data.duplicates import ImageHashes, count_bits, find_duplicates, similar_pairs


def collect(blocks):
    """All rows of blocks of pairs."""
    return [tuple(row) for block in blocks for row in block.tolist()]


def near_pairs(hashes, max_distance):
    """All pairs of hashes within a distance, by comparing each with each."""
    return {
        (i, j, (a ^ b).bit_count())
        for (i, a), (j, b) in combinations(enumerate(hashes), 2)
        if (a ^ b).bit_count() <= max_distance
    }


def flip(value, bits):
    """Change some bits of a number."""
    for bit in bits:
        value ^= 1 << bit
    return value


HASHES = st.lists(
    st.builds(
        flip,
        st.sampled_from([0, 2**64 - 1, 0x0123456789ABCDEF, 0xF0F0F0F00F0F0F0F]),
        st.sets(st.integers(0, 63), max_size=6),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(HASHES, st.integers(0, 12))
def test_all_similar_hashes_are_found_once(hashes, max_distance):
    found = collect(similar_pairs(np.array(hashes, np.uint64), max_distance))
    assert len(found) == len(set(found))
    assert set(found) == near_pairs(hashes, max_distance)


@pytest.mark.parametrize("block_pairs", [1, 7, 100])
def test_the_size_of_a_block_changes_nothing(monkeypatch, block_pairs):
    monkeypatch.setattr(duplicates, "BLOCK_PAIRS", block_pairs)
    hashes = [flip(0, {k % 5}) for k in range(30)]
    blocks = list(similar_pairs(np.array(hashes, np.uint64), 4))
    assert set(collect(blocks)) == near_pairs(hashes, 4)
    # A block has a row of pairs at least, 29 here.
    assert max(map(len, blocks)) <= max(29, block_pairs)


def test_bits_are_counted():
    values = [0, 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF]
    assert count_bits(np.array(values, np.uint64)).tolist() == [v.bit_count() for v in values]
    assert count_bits(np.zeros(0, np.uint64)).tolist() == []


IMAGES = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["train", "val", "test", "x train"])),
    min_size=1,
    max_size=16,
)
BITS = dict(zip("abcdefgh", [0, 1, 7, None, 2**40, 2**40 + 3, None, 0], strict=True))
COLOURS = {name: bytes([40 if name == "h" else 50 + ord(name) - ord("a")] * 48) for name in BITS}


@settings(deadline=None)
@given(IMAGES, st.none() | st.integers(0, 8))
def test_duplicates_are_those_of_all_pairs(images, num_compared):
    hashes = [ImageHashes(name, BITS[name], COLOURS[name]) for name, _ in images]
    splits = [split for _, split in images]
    expected = set()
    for (i, a), (j, b) in combinations(enumerate(hashes), 2):
        if num_compared is not None and i >= num_compared:
            continue
        if a.content == b.content:
            expected.add((i, j, 0, 1))
        elif None not in (a.perceptual, b.perceptual):
            distance = (a.perceptual ^ b.perceptual).bit_count()
            if distance <= 2 and abs(a.colours[0] - b.colours[0]) <= 10:
                expected.add((i, j, distance, 0))
    found = find_duplicates(hashes, splits, 2, num_compared)
    rows = [tuple(row) for row in found.pairs.tolist()]
    assert len(rows) == len(expected) and set(rows) == expected
    assert found.num_equal == sum(equal for *_, equal in expected)
    assert found.num_similar == len(expected) - found.num_equal
    across = [splits[i] != splits[j] for i, j, *_ in rows]
    assert across == sorted(across, reverse=True) and sum(across) == found.num_across
    both_ways = [*rows, *((j, i, *rest) for i, j, *rest in rows)]
    members = {}
    for i, j, *_ in both_ways:
        if splits[i] != splits[j]:
            members.setdefault((splits[i], splits[j]), set()).add(i)
    assert found.images_in == {key: len(rows) for key, rows in members.items()}


def test_more_pairs_than_are_listed_are_counted(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_LISTED", 10)
    found = find_duplicates(
        [ImageHashes("a", None, bytes(48))] * 20, ["train"] * 10 + ["test"] * 10, 4
    )
    assert (len(found.pairs), found.num_equal, found.num_across) == (10, 190, 100)
    assert found.images_in == {("train", "test"): 10, ("test", "train"): 10}
