from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galr.errors import ConfigError, ShapeError
from galr.evaluate.qbnorm import QueryBank, bank_stats, qbnorm_scores

BETAS = st.sampled_from([0.5, 5.0, 20.0])


@st.composite
def random_similarities(draw):
    """Similarities of test queries and of bank queries to the same candidates; few values, so many ties."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, bank, candidates = (draw(st.integers(1, 9)) for _ in range(3))
    values = draw(st.sampled_from([1, 3, 40]))
    tables = (
        random.integers(-values, values + 1, size=(rows, candidates)) / values
        for rows in (queries, bank)
    )
    kind = draw(st.sampled_from([np.float32, np.float64]))
    similarity, bank = (table.astype(kind) for table in tables)
    if draw(st.booleans()):
        for table in (similarity, bank):
            table[:, -1] = table[:, 0]
    return similarity, bank


def loop_qbnorm(similarity, bank, beta, k):
    """Compute the dynamic inverted softmax of Bogolin and others query by query."""
    candidates = range(similarity.shape[1])
    active = {c for row in bank for c in candidates if sum(other > row[c] for other in row) < k}
    total = [sum(exp(beta * float(row[c])) for row in bank) for c in candidates]
    rows = []
    for row in similarity:
        best = [c for c in candidates if row[c] == max(row)]
        if active.intersection(best):
            rows.append([log(exp(beta * float(row[c])) / total[c]) for c in candidates])
        else:
            rows.append([float(value) for value in row])
    return rows


@given(random_similarities(), BETAS, st.integers(1, 10))
def test_qbnorm_matches_the_definition(drawn, beta, k):
    similarity, bank = drawn
    result = qbnorm_scores(similarity, bank_stats([bank], beta, k), beta)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, loop_qbnorm(similarity, bank, beta, k), atol=1e-9)


@given(random_similarities(), BETAS)
def test_equal_candidates_stay_equal_and_a_bank_may_come_in_pieces(drawn, beta):
    similarity, bank = drawn
    whole = qbnorm_scores(similarity, bank_stats([bank], beta), beta)
    pieces = bank_stats((bank[row : row + 1] for row in range(len(bank))), beta)
    np.testing.assert_allclose(qbnorm_scores(similarity, pieces, beta), whole, atol=1e-12)
    assert (pieces.activation_set == bank_stats([bank], beta).activation_set).all()
    for one, other in np.argwhere(
        (similarity[:, :, None] == similarity[:, None]).all(axis=0)
        & (bank[:, :, None] == bank[:, None]).all(axis=0)
    ):
        assert (whole[:, one] == whole[:, other]).all()


@given(random_similarities(), BETAS, st.randoms(use_true_random=False))
def test_renumbering_queries_and_candidates_renumbers_the_result(drawn, beta, shuffle):
    similarity, bank = drawn
    queries, candidates = (shuffle.sample(range(n), n) for n in similarity.shape)
    result = qbnorm_scores(similarity, bank_stats([bank], beta), beta)
    again = qbnorm_scores(
        similarity[np.ix_(queries, candidates)], bank_stats([bank[:, candidates]], beta), beta
    )
    np.testing.assert_array_equal(again, result[np.ix_(queries, candidates)])


def test_a_hub_loses_its_first_rank():
    # Candidate 0 is a hub: it is the first of every bank query, and of query 1, which belongs to candidate 1.
    bank = np.array([[0.9, 0.1, 0.0], [0.9, 0.2, 0.1]])
    similarity = np.array([[0.95, 0.2, 0.1], [0.6, 0.5, 0.1], [0.1, 0.2, 0.7]])
    result = qbnorm_scores(similarity, bank_stats([bank], 20.0), 20.0)
    assert similarity.argmax(axis=1).tolist() == [0, 0, 2]
    assert result.argmax(axis=1)[1:].tolist() == [1, 2]
    assert result[2].tolist() == similarity[2].tolist()  # its best candidate is no hub: unchanged
    assert (result[:2] != similarity[:2]).all()


@pytest.mark.parametrize("beta", [1e-3, 20.0, 1e6])
def test_no_inverse_temperature_overflows(beta):
    random = np.random.default_rng(0)
    similarity, bank = random.uniform(-1, 1, (5, 7)), random.uniform(-1, 1, (3, 7))
    stats = bank_stats([bank], beta)
    assert np.isfinite(stats.log_partition).all()
    assert np.isfinite(qbnorm_scores(similarity, stats, beta)).all()
    sharp = beta * bank.max(axis=0)
    assert (stats.log_partition >= sharp).all() and (stats.log_partition <= sharp + log(3)).all()


@given(st.integers(1, 9), st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_a_bank_of_embeddings_is_the_bank_of_their_products_and_equals_stay_equal(
    queries, candidates, seed
):
    random = np.random.default_rng(seed)
    bank = random.normal(size=(queries, 96)).astype(np.float32)
    table = random.normal(size=(candidates, 96)).astype(np.float32)
    table[-1] = table[0]
    stats, expected = QueryBank(bank, table).stats(5.0), bank_stats([(bank @ table.T)], 5.0)
    assert (
        stats.log_partition[-1] == stats.log_partition[0]
        and stats.activation_set[-1] == stats.activation_set[0]
    )
    rounding = (
        5.0 * 40 * np.finfo(np.float32).eps
    )  # of beta times products up to about 40; it may be near 0
    np.testing.assert_allclose(
        stats.log_partition, expected.log_partition, rtol=1e-4, atol=rounding
    )
    between = slice(1, -1)  # of two equal columns the product may find one a last bit larger
    assert (stats.activation_set[between] == expected.activation_set[between]).all()


@pytest.mark.parametrize(
    ("bank", "beta", "k", "error", "message"),
    [
        (
            [np.ones((2, 3))],
            0.0,
            1,
            ConfigError,
            "beta is an inverse temperature above 0, such as 20; got 0.0",
        ),
        ([np.ones((2, 3))], float("nan"), 1, ConfigError, "got nan"),
        ([np.ones((2, 3))], 20.0, 0, ConfigError, "at least 1; got 0"),
        ([], 20.0, 1, ShapeError, "the bank has no queries; expected at least one"),
        ([np.ones((0, 3))], 20.0, 1, ShapeError, r"shape \(0, 3\) is empty or holds NaN"),
        ([np.array([[1, np.inf, 2]])], 20.0, 1, ShapeError, "expected finite similarities"),
        ([np.ones((2, 4))], 20.0, 1, ShapeError, "with 4 candidates, the queries with 3"),
    ],
)
def test_meaningless_banks_are_refused(bank, beta, k, error, message):
    with pytest.raises(error, match=message):
        qbnorm_scores(np.ones((2, 3)), bank_stats(bank, beta, k), beta)
