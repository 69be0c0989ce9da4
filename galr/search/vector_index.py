"""The embeddings most similar to a query: exactly, or by the approximate kinds of FAISS.

All embeddings have length 1, so that their inner product is the cosine. The approximate kinds compare compressed
codes and propose candidates; the cosines of these are then computed from the embeddings themselves, on disk. So
a score is exact whatever the kind, and the codes only decide which rows are scored.
"""

from dataclasses import dataclass
from typing import get_args

import faiss
import numpy as np

from galr.errors import ConfigError
from galr.progress import ProgressBar
from galr.search import IndexKind

HNSW_M = 32  # neighbours that hnsw links a row with, on each side
# Candidates that hnsw compares to place a row; more is slower and hardly better at 512 numbers a row.
EF_CONSTRUCTION = 100
MIN_IVFPQ_ROWS = 39 * 256  # FAISS trains each of 256 centroids on at least 39 rows
TRAIN_ROWS_PER_CELL = 40  # rows that the centroids of ivfpq are trained on, for each cell
OVERSAMPLING = {"hnsw": 4, "ivfpq": 20}  # candidates scored, for each row to find
TARGET_RECALL = 0.95  # recall@10 at which the effort is raised no further
SEARCH_EFFORTS = (16, 32, 64, 128, 256, 512)  # candidates (hnsw) or cells (ivfpq) of a search
RECALL_K = 10
CHUNK_ROWS = 1 << 16  # rows in memory at a time


@dataclass(frozen=True, eq=False)
class VectorIndex:
    """Embeddings with a FAISS index of them.

    Attributes:
        kind: of the FAISS index.
        embeddings: (rows, embed_dim) float32, unit rows; may be memory-mapped.
        faiss_index: of the same rows in the same order.
        search_effort: candidates (hnsw) or cells (ivfpq) of a search; not used by flat.
    """

    kind: IndexKind
    embeddings: np.ndarray
    faiss_index: faiss.Index
    search_effort: int

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k rows most similar to each query, or all rows if there are fewer.

        Args:
            queries: (queries, embed_dim) float32, unit rows.
            k: at least 1.

        Returns:
            rows (queries, k) int64 and their cosines (queries, k) float32, in descending order, ties by row;
            -1 and -inf where an approximate kind found fewer.

        Raises:
            ConfigError: k is below 1.
        """
        if k < 1:
            raise ConfigError(f"k is the number of results, at least 1; got {k}")
        k = min(k, len(self.embeddings))
        if self.kind == "flat":
            cosines, rows = self.faiss_index.search(queries, k)
            return _sort_by_cosine(rows, cosines)
        width = min(max(k * OVERSAMPLING[self.kind], 2 * RECALL_K), len(self.embeddings))
        parameters = _search_parameters(self.kind, self.search_effort, width)
        candidates = self.faiss_index.search(queries, width, params=parameters)[1]
        cosines = np.einsum("qwe,qe->qw", self.embeddings[candidates], queries)
        rows, cosines = _sort_by_cosine(candidates, np.where(candidates < 0, -np.inf, cosines))
        return rows[:, :k], cosines[:, :k]


@dataclass(frozen=True)
class Recall:
    """How many of the most similar rows an approximate kind finds.

    Attributes:
        at_10: fraction of the 10 most similar rows that is among the 10 found, in [0, 1].
        queries: number of queries that it was measured with.
        of: what the queries are.
    """

    at_10: float
    queries: int
    of: str


def build_faiss_index(kind: IndexKind, embeddings: np.ndarray, seed: int) -> faiss.Index:
    """Build a FAISS index.

    - `flat`: the embeddings themselves; exact.
    - `hnsw`: a graph over codes of 8 bits a number. Built by several threads, it differs between builds.
    - `ivfpq`: about 4 √rows cells, in each codes of 8 bits for every 8 numbers.

    Args:
        kind: one of the three.
        embeddings: (rows, embed_dim) float32, unit rows; read in order, chunk by chunk.
        seed: of the rows that codes are trained on.

    Raises:
        ConfigError: the kind is unknown, or has too few rows to be trained on.
    """
    if kind not in get_args(IndexKind):
        raise ConfigError(f"ann '{kind}' is unknown; choose from {', '.join(get_args(IndexKind))}")
    if kind == "ivfpq" and len(embeddings) < MIN_IVFPQ_ROWS:
        raise ConfigError(
            f"ivfpq is trained on at least {MIN_IVFPQ_ROWS:,} rows, the index has {len(embeddings):,};"
            " choose flat, which is exact, or hnsw"
        )
    index = _empty_index(kind, *embeddings.shape)
    if not index.is_trained:
        num_rows = max(TRAIN_ROWS_PER_CELL * _num_cells(len(embeddings)), MIN_IVFPQ_ROWS)
        index.train(_sample_rows(embeddings, num_rows, seed))
    for start in ProgressBar(
        range(0, len(embeddings), CHUNK_ROWS), f"building {kind}", disable=None
    ):
        index.add(np.ascontiguousarray(embeddings[start : start + CHUNK_ROWS]))
    return index


def tune_search_effort(
    kind: IndexKind,
    embeddings: np.ndarray,
    faiss_index: faiss.Index,
    queries: np.ndarray,
    description: str,
) -> tuple[int, Recall]:
    """Find the smallest effort of a search with enough recall, and measure that recall.

    The effort is doubled until recall@10 is at least 0.95, or the largest is reached; flat needs none.

    Args:
        kind: of the index.
        embeddings: (rows, embed_dim) float32.
        faiss_index: of the same rows.
        queries: (queries, embed_dim) float32, unit rows, at least one.
        description: what the queries are, in words.

    Returns:
        The effort, and its recall.
    """
    if kind == "flat":
        return 0, Recall(1.0, len(queries), description)
    k = min(RECALL_K, len(embeddings))
    exact = faiss.knn(queries, embeddings, k, metric=faiss.METRIC_INNER_PRODUCT)[0]
    for effort in SEARCH_EFFORTS:
        cosines = VectorIndex(kind, embeddings, faiss_index, effort).search(queries, k)[1]
        # By cosine, not by row: of equal rows any will do. The two products may differ in their last bits.
        recall = float((cosines >= exact[:, -1:] - 1e-6).mean())
        if recall >= TARGET_RECALL:
            break
    return effort, Recall(round(recall, 4), len(queries), description)


def perturbed_queries(embeddings: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Queries for an index without real ones: random rows, each plus a random vector half as long.

    Args:
        embeddings: (rows, embed_dim) float32, unit rows.
        count: number of queries; at most the rows.
        seed: of the rows and the vectors.

    Returns:
        (count, embed_dim) float32, unit rows.
    """
    random = np.random.default_rng(seed)
    rows = _sample_rows(embeddings, count, seed)
    noise = random.standard_normal(rows.shape).astype(np.float32)
    perturbed = rows + noise / (2 * np.linalg.norm(noise, axis=1, keepdims=True))
    return perturbed / np.linalg.norm(perturbed, axis=1, keepdims=True)


def _empty_index(kind: IndexKind, num_rows: int, embed_dim: int) -> faiss.Index:
    """An index without rows, laid out for a number of them."""
    if kind == "flat":
        return faiss.IndexFlatIP(embed_dim)
    codes = next(m for m in range(max(embed_dim // 8, 1), 0, -1) if embed_dim % m == 0)
    # "np": without sorting the codes by similarity, which takes minutes and is not used here.
    factory = f"HNSW{HNSW_M}_SQ8" if kind == "hnsw" else f"IVF{_num_cells(num_rows)},PQ{codes}np"
    index = faiss.index_factory(embed_dim, factory, faiss.METRIC_INNER_PRODUCT)
    if kind == "hnsw":
        faiss.ParameterSpace().set_index_parameter(index, "efConstruction", EF_CONSTRUCTION)
    return index


def _num_cells(num_rows: int) -> int:
    """Cells of ivfpq: about 4 √rows, with at least 39 rows for each."""
    return max(min(round(4 * num_rows**0.5), num_rows // 39), 1)


def _search_parameters(kind: IndexKind, effort: int, width: int) -> faiss.SearchParameters:
    """Parameters of an approximate kind to find `width` candidates."""
    if kind == "hnsw":
        return faiss.SearchParametersHNSW(efSearch=max(effort, width))  # type: ignore[attr-defined]  # its stubs lag
    return faiss.SearchParametersIVF(nprobe=effort)  # type: ignore[call-arg]


def _sample_rows(embeddings: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw distinct rows, in ascending order; all if there are fewer than `count`."""
    drawn = np.random.default_rng(seed).permutation(len(embeddings))[:count]
    return np.ascontiguousarray(embeddings[np.sort(drawn)])


def _sort_by_cosine(rows: np.ndarray, cosines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort each query's rows by descending cosine, ties by row: both (queries, k)."""
    order = np.lexsort((rows, -cosines), axis=1)
    sorted_rows = np.take_along_axis(rows, order, axis=1).astype(np.int64)
    return sorted_rows, np.take_along_axis(cosines, order, axis=1)
