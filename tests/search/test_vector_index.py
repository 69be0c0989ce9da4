import faiss
import numpy as np
import pytest

from galr.errors import ConfigError
from galr.search import vector_index
from galr.search.vector_index import (
    VectorIndex,
    build_faiss_index,
    perturbed_queries,
    tune_search_effort,
)


def unit(rows, width, seed=0, groups=40):
    """Clustered rows of length 1."""
    random = np.random.default_rng(seed)
    middles = random.standard_normal((groups, width))
    table = middles[random.integers(groups, size=rows)] + random.standard_normal((rows, width))
    return (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)


def slow(rows, query, k):
    """Say the definition out loud: all products, the largest first, equals by row."""
    cosines = [float(np.dot(row, query)) for row in rows]
    return sorted(range(len(rows)), key=lambda row: (-cosines[row], row))[:k]


@pytest.mark.parametrize("k", [1, 7, 300, 1000])
def test_flat_is_the_definition(k):
    rows = unit(300, 24)
    queries = perturbed_queries(rows, 6, 1)
    found, cosines = VectorIndex("flat", rows, build_faiss_index("flat", rows, 0), 0).search(
        queries, k
    )
    for row, query in enumerate(queries):
        assert found[row].tolist() == slow(rows, query, k)
        np.testing.assert_allclose(cosines[row], rows[found[row]] @ query, atol=1e-6)


def test_equals_come_by_row():
    rows = np.repeat(unit(5, 8), 4, axis=0)
    found, _ = VectorIndex("flat", rows, build_faiss_index("flat", rows, 0), 0).search(rows[:1], 20)
    assert found[0, :4].tolist() == [0, 1, 2, 3]
    assert (np.diff(found.reshape(5, 4)) == 1).all()


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_approximate_kinds_find_most_and_score_exactly(kind):
    rows = unit(12_000, 32)
    queries = perturbed_queries(rows, 50, 2)
    index = build_faiss_index(kind, rows, 0)
    effort, recall = tune_search_effort(kind, rows, index, queries, "noise")
    found, cosines = VectorIndex(kind, rows, index, effort).search(queries, 10)
    hits = [
        len({*each} & {*slow(rows, query, 10)}) for each, query in zip(found, queries, strict=True)
    ]
    assert np.mean(hits) / 10 == pytest.approx(recall.at_10, abs=1e-4) and recall.at_10 > 0.9
    np.testing.assert_allclose(cosines, np.einsum("qke,qe->qk", rows[found], queries), atol=1e-6)
    assert (np.diff(cosines) <= 0).all()


def test_more_effort_finds_more():
    rows = unit(12_000, 32)
    queries, index = perturbed_queries(rows, 50, 2), build_faiss_index("ivfpq", rows, 0)
    reached = [
        VectorIndex("ivfpq", rows, index, effort).search(queries, 10)[1].sum()
        for effort in (1, 8, 512)
    ]
    assert reached == sorted(reached) and reached[0] < reached[-1]


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
@pytest.mark.parametrize("rows", [1, 2, 11])
def test_small_tables_are_found_whole(kind, rows):
    table = unit(rows, 8)
    index = build_faiss_index(kind, table, 0)
    effort, recall = tune_search_effort(kind, table, index, table, "itself")
    found, _ = VectorIndex(kind, table, index, effort).search(table[:1], 50)
    assert sorted(found[0].tolist()) == list(range(rows)) and recall.at_10 == 1


def test_kinds_are_read_back_as_they_were(tmp_path):
    rows = unit(500, 16)
    for kind in ("flat", "hnsw"):
        index = build_faiss_index(kind, rows, 0)
        faiss.write_index(index, str(tmp_path / kind))
        again = faiss.read_index(str(tmp_path / kind), faiss.IO_FLAG_MMAP)
        one, two = (
            VectorIndex(kind, rows, each, 64).search(rows[:9], 5) for each in (index, again)
        )
        assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])


def test_what_cannot_be_is_refused():
    rows = unit(100, 8)
    with pytest.raises(
        ConfigError, match="ivfpq learns from at least 9,984 rows, the table has 100"
    ):
        build_faiss_index("ivfpq", rows, 0)
    with pytest.raises(ConfigError, match="'ball' is unknown; choose from flat, hnsw, ivfpq"):
        build_faiss_index("ball", rows, 0)
    with pytest.raises(ConfigError, match="k counts the answers"):
        VectorIndex("flat", rows, build_faiss_index("flat", rows, 0), 0).search(rows[:1], 0)


def test_cells_are_few_enough_to_learn_from():
    for rows in (10_000, 100_000, 1_000_000):
        assert rows / vector_index._num_cells(rows) >= 39
