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


def clustered_rows(count, width, num_clusters=40):
    """Rows of length 1 around random centres: (count, width) float32."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((num_clusters, width))
    rows = centres[random.integers(num_clusters, size=count)]
    rows = rows + random.standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def build(kind, rows, search_effort=0):
    return VectorIndex(kind, rows, build_faiss_index(kind, rows, 0), search_effort)


def search_slowly(rows, query, k):
    """Compute all products, and sort by descending product, ties by row."""
    cosines = [float(np.dot(row, query)) for row in rows]
    return sorted(range(len(rows)), key=lambda row: (-cosines[row], row))[:k]


@pytest.mark.parametrize("k", [1, 7, 300, 1000])
def test_flat_finds_what_sorting_all_products_finds(k):
    rows = clustered_rows(300, 24)
    queries = perturbed_queries(rows, 6, 1)
    neighbours, cosines = build("flat", rows).search(queries, k)
    for number, query in enumerate(queries):
        assert neighbours[number].tolist() == search_slowly(rows, query, k)
        np.testing.assert_allclose(cosines[number], rows[neighbours[number]] @ query, atol=1e-6)


def test_ties_are_in_order_of_the_rows():
    rows = np.repeat(clustered_rows(5, 8), 4, axis=0)
    neighbours, _ = build("flat", rows).search(rows[:1], 20)
    assert neighbours[0, :4].tolist() == [0, 1, 2, 3]
    assert (np.diff(neighbours.reshape(5, 4)) == 1).all()


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_approximate_kinds_have_the_measured_recall_and_exact_cosines(kind):
    rows = clustered_rows(12_000, 32)
    queries = perturbed_queries(rows, 50, 2)
    index = build_faiss_index(kind, rows, 0)
    effort, recall = tune_search_effort(kind, rows, index, queries, "noise")
    neighbours, cosines = VectorIndex(kind, rows, index, effort).search(queries, 10)
    common = [
        len({*indices} & {*search_slowly(rows, query, 10)})
        for indices, query in zip(neighbours, queries, strict=True)
    ]
    assert np.mean(common) / 10 == pytest.approx(recall.at_10, abs=1e-4) and recall.at_10 > 0.9
    np.testing.assert_allclose(
        cosines, np.einsum("qke,qe->qk", rows[neighbours], queries), atol=1e-6
    )
    assert (np.diff(cosines) <= 0).all()


def test_more_effort_finds_more_similar_rows():
    rows = clustered_rows(12_000, 32)
    queries, index = perturbed_queries(rows, 50, 2), build_faiss_index("ivfpq", rows, 0)
    totals = [
        VectorIndex("ivfpq", rows, index, effort).search(queries, 10)[1].sum()
        for effort in (1, 8, 512)
    ]
    assert totals == sorted(totals) and totals[0] < totals[-1]


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
@pytest.mark.parametrize("count", [1, 2, 11])
def test_all_rows_of_a_small_index_are_found(kind, count):
    rows = clustered_rows(count, 8)
    index = build_faiss_index(kind, rows, 0)
    effort, recall = tune_search_effort(kind, rows, index, rows, "the rows")
    neighbours, _ = VectorIndex(kind, rows, index, effort).search(rows[:1], 50)
    assert sorted(neighbours[0].tolist()) == list(range(count)) and recall.at_10 == 1


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_an_index_read_from_disk_finds_the_same(tmp_path, kind):
    rows = clustered_rows(500, 16)
    built = build_faiss_index(kind, rows, 0)
    faiss.write_index(built, str(tmp_path / kind))
    stored = faiss.read_index(str(tmp_path / kind), faiss.IO_FLAG_MMAP)
    of_built = VectorIndex(kind, rows, built, 64).search(rows[:9], 5)
    of_stored = VectorIndex(kind, rows, stored, 64).search(rows[:9], 5)
    assert np.array_equal(of_built[0], of_stored[0]) and np.array_equal(of_built[1], of_stored[1])


def test_an_unknown_kind_too_few_rows_and_a_k_of_zero_are_errors():
    rows = clustered_rows(100, 8)
    with pytest.raises(
        ConfigError, match="ivfpq is trained on at least 9,984 rows, the index has 100"
    ):
        build_faiss_index("ivfpq", rows, 0)
    with pytest.raises(ConfigError, match="'ball' is unknown; choose from flat, hnsw, ivfpq"):
        build_faiss_index("ball", rows, 0)
    with pytest.raises(ConfigError, match="k is the number of results, at least 1; got 0"):
        build("flat", rows).search(rows[:1], 0)


@pytest.mark.parametrize("num_rows", [10_000, 100_000, 1_000_000])
def test_ivfpq_has_at_least_39_rows_for_each_cell(num_rows):
    assert num_rows / vector_index._num_cells(num_rows) >= 39
