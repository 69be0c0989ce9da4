"""The nearest rows to a query: exactly, or by FAISS's approximate kinds, whose finds are measured anew.

All rows are of length 1, so the inner product is the cosine. The approximate kinds keep short codes of the
rows; what they find is compared with the rows themselves, which lie beside them on disk, so that a score is
exact whatever the kind, and the codes decide only who is looked at.
"""

from dataclasses import dataclass
from typing import Literal

import faiss
import numpy as np
from tqdm import tqdm

from galr.errors import ConfigError

IndexKind = Literal["flat", "hnsw", "ivfpq"]
HNSW_M = 32  # neighbours a row of hnsw is linked with, on each side
EF_CONSTRUCTION = (
    100  # candidates hnsw looks at to place a row; more is slower and hardly better at 512 numbers
)
MIN_ROWS = {
    "flat": 1,
    "hnsw": 1,
    "ivfpq": 39 * 256,
}  # rows; FAISS wants 39 for each of 256 centroids
TRAIN_ROWS_PER_CELL = 40  # rows a cell of ivfpq that its centroids are learnt from
ROUNDS = (
    10  # of k-means for the codes; FAISS's 25 takes minutes, and what is found is measured anew
)
OVERSAMPLING = {"hnsw": 4, "ivfpq": 20}  # times k rows are measured anew
TARGET_RECALL = 0.95  # recall@10 from which on no more effort is made
SEARCH_EFFORTS = (16, 32, 64, 128, 256, 512)  # candidates (hnsw) or cells (ivfpq) a query looks at
RECALL_K = 10
CHUNK_ROWS = 1 << 16  # rows in memory at a time


@dataclass(frozen=True, eq=False)
class VectorIndex:
    """Embeddings and what finds the nearest of them.

    kind: of the FAISS index.
    rows: (rows, embedding) float32, unit rows; memory-mapped.
    index: FAISS's, of the same rows in the same order.
    effort: candidates or cells to look at; 0 for flat.
    """

    kind: IndexKind
    rows: np.ndarray
    faiss_index: faiss.Index
    search_effort: int

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest rows of each query; k beyond the table is the table.

        Args:
            queries: (queries, embedding) float32, unit rows.
            k: how many, at least 1.

        Returns:
            rows (queries, k) int64 and their cosines (queries, k) float32, best first, equals by row; -1 and
            -inf behind the last row that an approximate kind found.

        Raises:
            ConfigError: k is below 1.
        """
        if k < 1:
            raise ConfigError(f"k counts the answers, at least 1; got {k}")
        k = min(k, len(self.rows))
        if self.kind == "flat":
            return _sort_by_cosine(*self.faiss_index.search(queries, k)[::-1])
        width = min(max(k * OVERSAMPLING[self.kind], 2 * RECALL_K), len(self.rows))
        params = _search_parameters(self.kind, self.search_effort, width)
        found = self.faiss_index.search(queries, width, params=params)[1]
        cosines = np.einsum("qwe,qe->qw", self.rows[found], queries)
        rows, cosines = _sort_by_cosine(found, np.where(found < 0, -np.inf, cosines))
        return rows[:, :k], cosines[:, :k]


@dataclass(frozen=True)
class Recall:
    """How much an approximate kind finds of what is there.

    at_10: share of the true 10 best among the 10 found, in [0, 1].
    queries: how many asked.
    of: what they are.
    """

    at_10: float
    queries: int
    of: str


def build_faiss_index(kind: IndexKind, rows: np.ndarray, seed: int) -> faiss.Index:
    """Build a FAISS index.

    - `flat`: the rows as they are; exact.
    - `hnsw`: a graph over codes of 8 bits a number. Built by several threads it differs from build to build.
    - `ivfpq`: about 4 √rows cells, in each codes of 8 bits for every 8 numbers.

    Args:
        kind: one of the three.
        rows: (rows, embedding) float32, unit rows; read in order, some at a time.
        seed: of the rows to learn codes from.

    Raises:
        ConfigError: an unknown kind, or too few rows to learn from.
    """
    if kind not in MIN_ROWS:
        raise ConfigError(f"ann '{kind}' is unknown; choose from {', '.join(MIN_ROWS)}")
    if len(rows) < MIN_ROWS[kind]:
        raise ConfigError(
            f"{kind} learns from at least {MIN_ROWS[kind]:,} rows, the table has {len(rows):,};"
            " choose flat, which is exact, or hnsw"
        )
    index = _empty_index(kind, *rows.shape)
    if not index.is_trained:
        index.train(
            _sample_rows(
                rows, max(TRAIN_ROWS_PER_CELL * _num_cells(len(rows)), MIN_ROWS["ivfpq"]), seed
            )
        )
    for start in tqdm(range(0, len(rows), CHUNK_ROWS), f"building {kind}", disable=None):
        index.add(np.ascontiguousarray(rows[start : start + CHUNK_ROWS]))
    return index


def tune_search_effort(
    kind: IndexKind, rows: np.ndarray, index: faiss.Index, queries: np.ndarray, of: str
) -> tuple[int, Recall]:
    """Find the least effort that finds enough, and say how much that is.

    Effort doubles until recall@10 is at least 0.95 or there is no more; flat needs none.

    Args:
        kind: of the index.
        rows: (rows, embedding) float32.
        index: of them.
        queries: (queries, embedding) float32, unit rows, one at least.
        of: what the queries are.

    Returns:
        The effort, and what it reaches.
    """
    if kind == "flat":
        return 0, Recall(1.0, len(queries), of)
    k = min(RECALL_K, len(rows))
    worst = faiss.knn(queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT)[0][:, -1:]
    for effort in SEARCH_EFFORTS:
        cosines = VectorIndex(kind, rows, index, effort).search(queries, k)[1]
        # By value, not by row: of equal rows any will do. Two roads to a product differ in a last bit.
        reached = float((cosines >= worst - 1e-6).mean())
        if reached >= TARGET_RECALL:
            break
    return effort, Recall(round(reached, 4), len(queries), of)


def perturbed_queries(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw rows and push each off by a random vector half as long: queries, where there are no real ones."""
    random = np.random.default_rng(seed)
    drawn = _sample_rows(rows, count, seed)
    noise = random.standard_normal(drawn.shape).astype(np.float32)
    pushed = drawn + noise / (2 * np.linalg.norm(noise, axis=1, keepdims=True))
    return pushed / np.linalg.norm(pushed, axis=1, keepdims=True)


def _empty_index(kind: IndexKind, count: int, width: int) -> faiss.Index:
    """An index without rows, made for so many of such a width."""
    if kind == "flat":
        return faiss.IndexFlatIP(width)
    parts = next(m for m in range(max(width // 8, 1), 0, -1) if width % m == 0)
    # np: codes are not put in an order of likeness, which takes minutes and is not looked at here
    recipe = f"HNSW{HNSW_M}_SQ8" if kind == "hnsw" else f"IVF{_num_cells(count)},PQ{parts}np"
    index = faiss.index_factory(width, recipe, faiss.METRIC_INNER_PRODUCT)
    if kind == "hnsw":
        faiss.ParameterSpace().set_index_parameter(index, "efConstruction", EF_CONSTRUCTION)
    return index


def _num_cells(rows: int) -> int:
    """Cells of ivfpq: about 4 √rows, and 39 rows a cell at least."""
    return max(min(round(4 * rows**0.5), rows // 39), 1)


def _search_parameters(kind: IndexKind, effort: int, width: int) -> faiss.SearchParameters:
    """How an approximate kind looks for so many rows."""
    if kind == "hnsw":
        return faiss.SearchParametersHNSW(efSearch=max(effort, width))  # type: ignore[attr-defined]  # its stubs lag
    return faiss.SearchParametersIVF(nprobe=effort)  # type: ignore[call-arg]


def _sample_rows(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw rows without repeats, in their order, all if there are fewer."""
    drawn = np.random.default_rng(seed).permutation(len(rows))[:count]
    return np.ascontiguousarray(rows[np.sort(drawn)])


def _sort_by_cosine(rows: np.ndarray, cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort what was found by cosine, equals by row."""
    order = np.lexsort((rows, -cosines), axis=1)
    found = (np.take_along_axis(table, order, axis=1) for table in (rows, cosines))
    best, values = found
    return best.astype(np.int64), values
