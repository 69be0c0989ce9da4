"""Verify a run: compute its results again and compare them with those stored, link by link.

    checkpoint.pt ── similarity.h5 ── ranks.h5 ── metrics.csv

metrics.csv must be what ranks.h5 gives, to the last digit, since it is counting and seeded sampling. ranks.h5 must
be what similarity.h5 gives, and similarity.h5 what checkpoint.pt gives, except for rounding, whose effect is
bounded by `MAX_DEVIATION` and `MAX_CHANGED_FRACTION`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from galr.errors import VerifyError
from galr.evaluate import table
from galr.evaluate.evaluate import MatrixSource, evaluate
from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.ranks import RetrievalRanks
from galr.io.csv_io import write_rows
from galr.io.formats import Similarity
from galr.similarity import matrix_files
from galr.similarity.encode import encoding_info, write_similarity
from galr.similarity.runs import StoredRun, TrainedRun, read_metric_rows

# The largest change of a unit row by rounding (Euclidean distance, so no cosine changes more), or of a cosine.
# Measured on a model of the paper's sizes: 5e-7 with another batch size, as much against float64, and 8e-4 on a
# GPU that rounds factors to TF32. Rows of two images are 0.2 or more apart.
MAX_DEVIATION = {"cpu": 1e-4, "cuda": 1e-2}
# The largest fraction of ranks that may change by one, where rounding breaks or makes a tie.
MAX_CHANGED_FRACTION = 0.01


@dataclass(frozen=True)
class VerifyResult:
    """Stored and recomputed results of a run, where they agree up to rounding.

    Attributes:
        variant: the run's variant.
        mr: by rerank, the stored and the recomputed mR, percent as printed in metrics.csv.
        max_deviation: largest distance of an embedding, or of a cosine, from the stored one.
        changed_ranks: number of ranks and hits that similarity.h5 gives one higher or lower than ranks.h5.
        stored_encoding: how the stored embeddings were computed.
        new_encoding: how they were recomputed.
    """

    variant: str
    mr: Mapping[str, tuple[str, str]]
    max_deviation: float
    changed_ranks: int
    stored_encoding: Mapping[str, Any]
    new_encoding: Mapping[str, Any]

    def table(self) -> str:
        """A heading, and a line for each row of metrics.csv."""
        variant_width = max(map(len, (self.variant, "variant")))
        rerank_width = max(map(len, (*self.mr, "rerank")))
        lines = [("variant", "rerank", "mR stored", "mR again")]
        for rerank, (stored, again) in self.mr.items():
            lines.append((self.variant, rerank, f"{float(stored):.4f}", f"{float(again):.4f}"))
        return "\n".join(
            f"{variant:<{variant_width}}  {rerank:<{rerank_width}}  {stored:>9}  {again:>9}"
            for variant, rerank, stored, again in lines
        )

    def summary(self) -> str:
        """One sentence that says how far the results agree."""
        if self.max_deviation == 0 and self.changed_ranks == 0:
            return "the same, to the last digit"
        difference = f"embeddings differ by at most {self.max_deviation:.1e}"
        if self.changed_ranks:
            difference += f", {self.changed_ranks} ranks and hits by one"
        encodings = _describe_encodings(self.stored_encoding, self.new_encoding)
        return f"the same except for rounding: {difference} ({encodings})"


def check_metrics(stored: StoredRun) -> None:
    """Check that metrics.csv is what ranks.h5 gives.

    Raises:
        VerifyError: names the row, and the first cell that differs.
    """
    metrics, ranks = stored.metrics_path, stored.ranks_path
    rows = _metric_rows(stored.ranks_by_rerank, stored)
    if len(stored.metric_rows) != len(rows):
        raise VerifyError(
            f"{metrics} has {len(stored.metric_rows)} rows, and {ranks} gives {len(rows)}"
            f" ({', '.join(stored.ranks_by_rerank)}); delete {metrics} and run snakemake again"
        )
    for rerank, old, new in zip(stored.ranks_by_rerank, stored.metric_rows, rows, strict=True):
        for column in [*new, *(column for column in old if column not in new)]:
            if old.get(column) != new.get(column):
                raise VerifyError(
                    f"{metrics}, row {rerank}: {column} is {old.get(column)}, and {ranks}"
                    f" gives {new.get(column)}; delete {metrics} and run snakemake again"
                )


def verify(run: TrainedRun, stored: StoredRun, device: torch.device, folder: Path) -> VerifyResult:
    """Encode, compare and rank again, and compare the results with those of a run.

    Args:
        run: the run.
        stored: its stored results.
        device: where to encode.
        folder: empty, for the files that are computed here.

    Raises:
        VerifyError: they differ by more than rounding explains.
    """
    again = folder / "similarity.h5"
    batch_size = stored.encoding["batch"]
    write_similarity(
        run.folder / "checkpoint.pt",
        run.dataset,
        run.graphs,
        run.folds,
        run.features,
        again,
        bank=_has_bank(stored.similarity_path),
        batch_size=batch_size,
        device=device,
    )
    deviation = _max_deviation(stored.similarity_path, again)
    ranks = _rank_again(again, stored)
    changed = _count_changed_ranks(
        stored, ranks if deviation == 0 else _rank_again(stored.similarity_path, stored)
    )
    rows = _metric_rows(ranks, stored)
    mr = {
        rerank: (old["mr"], new["mr"])
        for rerank, old, new in zip(ranks, stored.metric_rows, rows, strict=True)
    }
    encoding = encoding_info(batch_size, device)
    limit = MAX_DEVIATION["cuda" if "cuda" in f"{stored.encoding['device']} {device}" else "cpu"]
    if not deviation <= limit:  # NaN is refused, too
        worst = max(mr, key=lambda rerank: abs(float(mr[rerank][0]) - float(mr[rerank][1])))
        raise VerifyError(
            f"{run.folder}, row {worst}: mR {mr[worst][0]} is stored and {mr[worst][1]} recomputed;"
            f" embeddings differ by up to {deviation:.1e}, and rounding explains {limit:.0e}"
            f" ({_describe_encodings(stored.encoding, encoding)}); run.json holds how the run was made"
        )
    variant = run.checkpoint.provenance["variant"]
    return VerifyResult(variant, mr, deviation, changed, stored.encoding, encoding)


def _describe_encodings(stored: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say with how many threads and on which device embeddings were computed, then and now."""
    then, now = (
        f"{info['threads']} thread{'s' * (info['threads'] != 1)} on {info['device']}"
        for info in (stored, new)
    )
    return f"computed with {then}, now {now}"


def _metric_rows(ranks: Mapping[str, RetrievalRanks], stored: StoredRun) -> list[dict[str, str]]:
    """The rows of metrics.csv for some ranks by rerank, cells as text, as `galr evaluate` writes them."""
    evaluated, seed = stored.provenance["evaluated"], stored.provenance["bootstrap_seed"]
    rows = []
    for rerank, ranks_of_rerank in ranks.items():
        numbers = table.metrics_row(
            [ranks_of_rerank],
            stored.image_of_sentence,
            evaluated["resamples"],
            evaluated["confidence"],
            bootstrap_seed=seed,
            seed=seed,
        )
        rows.append(({"rerank": rerank} if list(ranks) != ["none"] else {}) | numbers)
    with TemporaryDirectory() as folder:
        write_rows(Path(folder) / "metrics.csv", rows)
        return read_metric_rows(Path(folder) / "metrics.csv")


def _rank_again(similarity: Path, stored: StoredRun) -> dict[str, RetrievalRanks]:
    """Rank a similarity.h5 with the settings of the stored ranks; ranks by rerank."""
    given, evaluated = (
        matrix_files.read_similarity(similarity, None),
        stored.provenance["evaluated"],
    )
    banks = matrix_files.read_banks(similarity) if "qbnorm" in stored.ranks_by_rerank else None
    validation = None
    if given.validation is not None:
        validation = MatrixSource(given.validation, banks.validation if banks else None)
    results = evaluate(
        MatrixSource(given.test, banks.test if banks else None),
        validation,
        list(stored.ranks_by_rerank),
        evaluated["k"],
        evaluated["w1"],
        evaluated["w2"],
        evaluated["xi"],
        evaluated["beta"],
        stored.provenance["ties"],
    )
    return {rerank: result.ranks for rerank, result in results.items()}


def _count_changed_ranks(stored: StoredRun, ranks: Mapping[str, RetrievalRanks]) -> int:
    """Count the ranks and hits that differ by one from the stored ones.

    Raises:
        VerifyError: there are too many, or one differs by more.
    """
    changed = 0
    for rerank, new in ranks.items():
        old = stored.ranks_by_rerank[rerank]
        for name, numbers in vars(new).items():  # hits change when a rank crosses a cutoff
            difference = np.abs(numbers - vars(old)[name])
            count = np.count_nonzero(difference)
            if difference.max() > 1 or count > MAX_CHANGED_FRACTION * difference.size:
                raise VerifyError(
                    f"{stored.ranks_path}, row {rerank}: mR {retrieval_metrics(old)['mr']:.4f} is stored, and"
                    f" {stored.similarity_path} gives {retrieval_metrics(new)['mr']:.4f}: {count} of"
                    f" {difference.size} {name} differ, by up to {difference.max():g}; delete"
                    f" {stored.ranks_path} and run snakemake again"
                )
            changed += int(count)
    return changed


def _has_bank(similarity: Path) -> bool:
    """Whether a similarity.h5 holds the embeddings of the training split."""
    with Similarity.open(similarity) as file:
        return file.bank is not None


def _max_deviation(stored: Path, again: Path) -> float:
    """The largest distance between rows of embeddings, or between cosines, of two files.

    Raises:
        VerifyError: they are of other images or sentences.
    """
    deviation = 0.0
    with Similarity.open(stored) as old_file, Similarity.open(again) as new_file:
        old = old_file.flat_tables()
        for name, table in new_file.flat_tables().items():
            is_float = table.dtype.kind == "f"
            same = name in old and old[name].shape == table.shape
            if same and not is_float:
                same = np.array_equal(old[name][:], table[:])
            if not same:
                raise VerifyError(
                    f"{stored} holds another {name} than its checkpoint and its dataset give;"
                    f" delete {stored} and run snakemake again"
                )
            if is_float:
                difference = np.abs(table[:].astype(np.float64) - old[name][:])
                if name.endswith("embeddings"):
                    difference = np.linalg.norm(difference, axis=1)
                deviation = float(np.maximum(deviation, difference.max()))  # keeps NaN
    return deviation
