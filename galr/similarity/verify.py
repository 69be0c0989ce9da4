"""Whether the numbers of a run come out again, link by link.

    checkpoint.pt ── similarity.h5 ── ranks.h5 ── metrics.csv

metrics.csv must say what ranks.h5 gives, to the last digit: that is counting and seeded draws. ranks.h5 must
hold what similarity.h5 gives, and similarity.h5 what checkpoint.pt gives, but for rounding; what rounding can
do is bounded by `ROUNDING` and `MOVED`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch

from galr import provenance, store
from galr.errors import StoreError, VerifyError
from galr.evaluate import table
from galr.evaluate.evaluate import MatrixSource, evaluate
from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.ranks import RetrievalRanks
from galr.io import matrix_files
from galr.io.matrix_files import read_banks
from galr.similarity.encode import encoding_info, write_similarity
from galr.similarity.runs import TrainedRun

# How far rounding may move a unit row (Euclidean, so no cosine moves further), or a cosine. Measured on a model
# of the paper's sizes: 5e-7 by another batch, and as much from float64; 8e-4 where a GPU rounds factors to TF32.
# Rows of two images lie 0.2 apart and more.
MAX_DEVIATION = {"cpu": 1e-4, "cuda": 1e-2}
MAX_CHANGED_FRACTION = 0.01  # share of the ranks that may be off by one place, where rounding parts or joins a near-tie


@dataclass(frozen=True, eq=False)
class StoredRun:
    """What the stages behind the training left of a run.

    similarity, ranks, metrics: the files.
    encoded: how similarity.h5 was computed: device, threads, batch.
    said: what ranks.h5 says of its making.
    image_of_sentence: (sentences,) of the test split.
    found: ranks by rerank.
    rows: of metrics.csv, its cells as text.
    """

    similarity_path: Path
    ranks_path: Path
    metrics_path: Path
    encoding: Mapping[str, Any]
    provenance: Mapping[str, Any]
    image_of_sentence: np.ndarray
    ranks_by_rerank: Mapping[str, RetrievalRanks]
    metric_rows: list[dict[str, str]]


@dataclass(frozen=True)
class VerifyResult:
    """What came out again.

    variant: the run's.
    mr: by rerank, as stored and as found again, percent as metrics.csv prints it.
    drift: largest distance of an embedding, or of a cosine, from the stored one.
    moved: ranks and hits of ranks.h5 that similarity.h5 puts one further up or down.
    then, now: how embeddings were computed.
    """

    variant: str
    mr: Mapping[str, tuple[str, str]]
    max_deviation: float
    changed_ranks: int
    stored_encoding: Mapping[str, Any]
    new_encoding: Mapping[str, Any]

    def table(self) -> str:
        """A line for each row of metrics.csv, under a heading."""
        wide = max(map(len, (self.variant, "variant")))
        high = max(map(len, (*self.mr, "rerank")))
        lines = [("variant", "rerank", "mR stored", "mR again")]
        for rerank, (stored, again) in self.mr.items():
            lines.append((self.variant, rerank, f"{float(stored):.4f}", f"{float(again):.4f}"))
        return "\n".join(f"{v:<{wide}}  {r:<{high}}  {a:>9}  {b:>9}" for v, r, a, b in lines)

    def summary(self) -> str:
        """The verdict."""
        if self.max_deviation == 0 and self.changed_ranks == 0:
            return "the same, to the last digit"
        what = f"embeddings differ by at most {self.max_deviation:.1e}"
        if self.changed_ranks:
            what += f", {self.changed_ranks} ranks and hits by one"
        return f"the same but for rounding: {what} ({_describe_encodings(self.stored_encoding, self.new_encoding)})"


def open_stored(run: TrainedRun) -> StoredRun:
    """Read what a run left, and check that each file was made of the one before it.

    Raises:
        StoreError: a file is missing, damaged, or does not say how it was made.
        VerifyError: a file was made of another one than lies beside it, or metrics.csv does not say what
            ranks.h5 gives.
    """
    similarity, ranks = run.folder / "similarity.h5", run.folder / "ranks.h5"
    metrics = run.folder / "metrics.csv"
    with store.reading(similarity, store.SIMILARITY) as file:
        origin = store.provenance(file)
    with store.reading(ranks, store.RANKS) as file:
        said = store.provenance(file)
        image_of_sentence = file["image_of_sentence"][:]
        found = {
            name: RetrievalRanks(
                **{each.name: file[name][each.name][:] for each in fields(RetrievalRanks)}
            )
            for name in said["reranks"]
        }
    _check_provenance(similarity, origin, "encoded", "checkpoint_sha256")
    _check_provenance(ranks, said, "evaluated", "similarity_sha256")
    _check_source(similarity, origin["checkpoint_sha256"], run.folder / "checkpoint.pt")
    _check_source(ranks, said["similarity_sha256"], similarity)
    left = StoredRun(
        similarity,
        ranks,
        metrics,
        origin["encoded"],
        said,
        image_of_sentence,
        found,
        _read_rows(metrics),
    )
    _check_metrics(left)
    return left


def verify(
    run: TrainedRun, stored_run: StoredRun, device: torch.device, folder: Path
) -> VerifyResult:
    """Encode, compare and rank again, and hold the results against those of a run.

    Args:
        run: the run.
        left: what it left.
        device: where to encode.
        folder: empty, for what is computed here.

    Raises:
        VerifyError: they are not the same, and rounding does not explain it.
    """
    again = folder / "similarity.h5"
    batch = stored_run.encoding["batch"]
    write_similarity(
        run.folder / "checkpoint.pt",
        run.dataset,
        run.graphs,
        run.folds,
        again,
        bank=_has_bank(stored_run.similarity_path),
        batch_size=batch,
        device=device,
    )
    drift = _max_deviation(stored_run.similarity_path, again)
    found = _rank_again(again, stored_run)
    moved = _count_changed_ranks(
        stored_run, found if drift == 0 else _rank_again(stored_run.similarity_path, stored_run)
    )
    rows = _metric_rows(found, stored_run)
    mr = {
        rerank: (stored["mr"], row["mr"])
        for rerank, stored, row in zip(found, stored_run.metric_rows, rows, strict=True)
    }
    now = encoding_info(batch, device)
    limit = MAX_DEVIATION[
        "cuda" if "cuda" in f"{stored_run.encoding['device']} {device}" else "cpu"
    ]
    if not drift <= limit:  # nor is NaN
        worst = max(mr, key=lambda rerank: abs(float(mr[rerank][0]) - float(mr[rerank][1])))
        raise VerifyError(
            f"{run.folder}, row {worst}: mR {mr[worst][0]} is stored and {mr[worst][1]} found again;"
            f" embeddings differ by up to {drift:.1e}, and rounding explains {limit:.0e}"
            f" ({_describe_encodings(stored_run.encoding, now)}); run.json says what the run was made with"
        )
    return VerifyResult(
        run.checkpoint.provenance["variant"], mr, drift, moved, stored_run.encoding, now
    )


def _describe_encodings(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say how embeddings were computed, at first and again."""
    first, again = (
        f"{how['threads']} thread{'s' * (how['threads'] != 1)} on {how['device']}"
        for how in (then, now)
    )
    return f"computed with {first}, now {again}"


def _check_provenance(path: Path, said: Mapping[str, Any], *keys: str) -> None:
    """Refuse a file that does not say how it was made.

    Raises:
        StoreError: names what is not said.
    """
    if missing := [key for key in keys if key not in said]:
        raise StoreError(
            f"{path} does not say {', '.join(missing)}; delete it and run snakemake again"
        )


def _check_source(path: Path, expected: str, source: Path) -> None:
    """Refuse a file that was made of another one than lies beside it.

    Raises:
        VerifyError: says which.
    """
    if (found := provenance.file_sha256(source)) != expected:
        raise VerifyError(
            f"{path} was made of another {source.name} than {source} (sha256 {expected[:12]}, found"
            f" {found[:12]}); one of them was changed: delete {path} and run snakemake again"
        )


def _read_rows(metrics: Path) -> list[dict[str, str]]:
    """Read the cells of metrics.csv as they stand there.

    Raises:
        StoreError: there is none.
    """
    if not metrics.is_file():
        raise StoreError(f"{metrics} does not exist; run: snakemake {metrics}")
    with metrics.open(encoding="utf-8", errors="replace", newline="") as file:
        return list(csv.DictReader(file))


def _metric_rows(
    found: Mapping[str, RetrievalRanks], stored_run: StoredRun
) -> list[dict[str, str]]:
    """What metrics.csv says of some ranks, cell by cell, as `galr evaluate` writes it."""
    how, seed = stored_run.provenance["evaluated"], stored_run.provenance["bootstrap_seed"]
    rows = []
    for rerank, ranks in found.items():
        numbers = table.metrics_row(
            [ranks],
            stored_run.image_of_sentence,
            how["resamples"],
            how["confidence"],
            bootstrap_seed=seed,
            seed=seed,
        )
        rows.append(({"rerank": rerank} if list(found) != ["none"] else {}) | numbers)
    with TemporaryDirectory() as folder:
        matrix_files.write_table(Path(folder) / "metrics.csv", rows)
        return _read_rows(Path(folder) / "metrics.csv")


def _check_metrics(stored_run: StoredRun) -> None:
    """Refuse a metrics.csv that does not say what ranks.h5 gives.

    Raises:
        VerifyError: names the row, and the first cell that differs.
    """
    told = _metric_rows(stored_run.ranks_by_rerank, stored_run)
    if len(stored_run.metric_rows) != len(told):
        raise VerifyError(
            f"{stored_run.metrics_path} has {len(stored_run.metric_rows)} rows, and {stored_run.ranks_path} gives {len(told)}"
            f" ({', '.join(stored_run.ranks_by_rerank)}); delete {stored_run.metrics_path} and run snakemake again"
        )
    for rerank, stored, row in zip(
        stored_run.ranks_by_rerank, stored_run.metric_rows, told, strict=True
    ):
        for column in [*row, *(column for column in stored if column not in row)]:
            if stored.get(column) != row.get(column):
                raise VerifyError(
                    f"{stored_run.metrics_path}, row {rerank}: {column} is {stored.get(column)}, and {stored_run.ranks_path}"
                    f" gives {row.get(column)}; delete {stored_run.metrics_path} and run snakemake again"
                )


def _rank_again(similarity: Path, stored_run: StoredRun) -> dict[str, RetrievalRanks]:
    """Rank a similarity.h5 as `galr evaluate` ranked the run's."""
    given, how = matrix_files.read_similarity(similarity, None), stored_run.provenance["evaluated"]
    banks = read_banks(similarity) if "qbnorm" in stored_run.ranks_by_rerank else None
    validation = None
    if given.validation is not None:
        validation = MatrixSource(given.validation, banks.validation if banks else None)
    found = evaluate(
        MatrixSource(given.test, banks.test if banks else None),
        validation,
        list(stored_run.ranks_by_rerank),
        how["k"],
        how["w1"],
        how["w2"],
        how["xi"],
        how["beta"],
        stored_run.provenance["ties"],
    )
    return {rerank: each.ranks for rerank, each in found.items()}


def _count_changed_ranks(stored_run: StoredRun, found: Mapping[str, RetrievalRanks]) -> int:
    """Count the ranks that are one place off, and the hits that follow.

    Raises:
        VerifyError: they are too many, or one is further off.
    """
    moved = 0
    for rerank, ranks in found.items():
        for name, numbers in vars(ranks).items():  # hits as well: a rank may cross a cut-off
            off = np.abs(numbers - vars(stored_run.ranks_by_rerank[rerank])[name])
            if off.max() > 1 or np.count_nonzero(off) > MAX_CHANGED_FRACTION * off.size:
                stored, again = (
                    retrieval_metrics(each)["mr"]
                    for each in (stored_run.ranks_by_rerank[rerank], ranks)
                )
                raise VerifyError(
                    f"{stored_run.ranks_path}, row {rerank}: mR {stored:.4f} is stored, and {stored_run.similarity_path} gives"
                    f" {again:.4f}: {np.count_nonzero(off)} of {off.size} {name} differ, by up to"
                    f" {off.max():g}; delete {stored_run.ranks_path} and run snakemake again"
                )
            moved += int(np.count_nonzero(off))
    return moved


def _has_bank(similarity: Path) -> bool:
    """Whether the training part was encoded as well."""
    with store.reading(similarity, store.SIMILARITY) as file:
        return "bank" in file


def _max_deviation(stored: Path, again: Path) -> float:
    """Find the largest distance between two files' embeddings, row by row, and between their cosines.

    Raises:
        VerifyError: they are of other images or sentences.
    """
    drift = 0.0
    with (
        store.reading(stored, store.SIMILARITY) as one,
        store.reading(again, store.SIMILARITY) as two,
    ):
        for name in _table_paths(two):
            same = name in one and one[name].shape == two[name].shape
            if same and two[name].dtype.kind != "f":
                same = np.array_equal(one[name][:], two[name][:])
            if not same:
                raise VerifyError(
                    f"{stored} holds another {name} than its checkpoint and its dataset give;"
                    f" delete {stored} and run snakemake again"
                )
            if two[name].dtype.kind != "f":
                continue
            apart = np.abs(two[name][:].astype(np.float64) - one[name][:])
            if name.endswith("embeddings"):
                apart = np.linalg.norm(apart, axis=1)
            drift = float(np.maximum(drift, apart.max()))  # keeps NaN
    return drift


def _table_paths(file: h5py.File) -> list[str]:
    """The paths of all tables in a file."""
    found: list[str] = []
    file.visititems(
        lambda name, held: found.append(name) if isinstance(held, h5py.Dataset) else None
    )
    return found
