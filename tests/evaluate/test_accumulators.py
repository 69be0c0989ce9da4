from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from galr.evaluate.accumulators import RankCounter, TopK, pack_keys, unpack_indices, unpack_values


@st.composite
def lists_in_pieces(draw):
    """Lists of few or many distinct values, and the pieces into rows their members are cut."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lists, members = draw(st.integers(1, 6)), draw(st.integers(1, 400))
    distinct = draw(st.sampled_from([1, 2, 7, 1000]))
    drawn = random.integers(-distinct, distinct + 1, size=(lists, members)) / 7
    if draw(st.booleans()):
        drawn.sort(axis=1)  # the best are the last ones
    cuts = sorted({0, members, *random.integers(members, size=draw(st.integers(0, 5))).tolist()})
    return torch.tensor(drawn, dtype=torch.float32), list(pairwise(cuts))


def halves(lists):
    """The slices of the lists that are counted together."""
    middle = (len(lists) + 1) // 2
    return [slice(0, middle), slice(middle, len(lists))][: len(lists)]


@given(lists_in_pieces(), st.sampled_from([1, 2, 10, 31]))
def test_the_best_are_those_of_a_stable_sort_however_the_members_are_split(drawn, width):
    lists, pieces = drawn
    width = min(width, lists.shape[1])
    best = TopK(len(lists), width, lists.device)
    for start, stop in pieces:
        for some in (slice(0, 2), slice(2, len(lists))):
            if lists[some].numel():
                best.update(some, lists[some, start:stop].contiguous(), start)
    order, similarity = best.result()
    expected = np.argsort(-lists.numpy(), axis=1, kind="stable")[:, :width]
    assert order.tolist() == expected.tolist()
    assert torch.equal(similarity, lists.gather(1, order))


def test_packed_floats_keep_their_order_and_values():
    tiny, huge = np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max
    near = np.nextafter(np.float32(1), np.float32(0))
    ascending = torch.tensor([-np.inf, -huge, -1, -tiny, 0, tiny, near, 1, huge])
    keys = pack_keys(ascending, torch.arange(9))
    assert torch.equal(keys, keys.sort().values)
    assert torch.equal(unpack_values(keys), ascending)
    assert unpack_indices(keys).tolist() == list(range(9))
    assert pack_keys(torch.tensor([-0.0]), torch.tensor([3])) > pack_keys(
        torch.tensor([0.0]), torch.tensor([4])
    )


@given(lists_in_pieces(), st.integers(0, 2**32 - 1), st.integers(1, 300), st.booleans())
def test_counts_are_those_of_comparing_everything(drawn, seed, size, sorting):
    lists, pieces = drawn
    random = np.random.default_rng(seed)
    queries = []
    for many in (size, 3):
        rows = torch.from_numpy(random.integers(len(lists), size=many))
        rows[: many // 2] = 0  # half of the values are compared with one list
        member = torch.from_numpy(random.integers(lists.shape[1], size=many))
        queries.append((rows, lists[rows, member] + random.choice([0, 0.01])))
    counter = RankCounter(len(lists), queries)
    with ThreadPoolExecutor(2) as workers:
        for start, stop in pieces:
            for some in halves(lists):
                part = lists[some, start:stop].clone()
                if sorting:
                    counter.count_by_sorting(some, part, workers)
                else:
                    counter.count_by_lookup(some, part)
    for (rows, value), counts in zip(queries, counter.counts(), strict=True):
        assert torch.equal(counts, (lists[rows] > value[:, None]).sum(dim=1))


def test_lookup_in_small_blocks_counts_the_same(monkeypatch):
    random = torch.Generator().manual_seed(0)
    lists = torch.randn(20, 50, generator=random)
    rows = torch.arange(20).repeat_interleave(3)
    value = torch.randn(60, generator=random)
    monkeypatch.setattr("galr.evaluate.accumulators.LOOKUP_BLOCK", 150)
    counter = RankCounter(20, [(rows, value)])
    counter.count_by_lookup(slice(0, 20), lists)
    assert torch.equal(counter.counts()[0], (lists[rows] > value[:, None]).sum(dim=1))
