"""Gather the ranks of all variants and folds into one table of numbers.

IN   ranks.h5 …     one for each variant and fold, as evaluate writes them
OUT  metrics.csv    a row for each variant, fold and rerank; then `mean` (with a joint bootstrap
                    interval) and `std` over folds. Recalls and mr are percentages, ranks count from 1.

Behind `seed` follow the parameters that validation chose, the tie rule, what chance reaches, what
sentences that several images share leave to reach, and the share that intervals cover.
"""

from dataclasses import dataclass
from pathlib import Path

from galr.errors import StoreError
from galr.evaluate import bootstrap, table
from galr.evaluate.ranks import RetrievalRanks
from galr.io import matrix_files
from galr.io.formats import Ranks
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What comes in, what goes out, and how wide the intervals are."""

    ranks: tuple[Path, ...] = option("ranks.h5 of every variant and fold, in the table's order")
    resamples: int = option("bootstrap resamples of the images", default=1000)
    confidence: float = option("share of the resamples in the interval", default=0.95)
    output: Path = option("metrics.csv to write")

    def __post_init__(self) -> None:
        """Refuse what means nothing before any work is done."""
        bootstrap.check_bootstrap(self.resamples, self.confidence, seed=0)


def run(options: Options) -> None:
    """Read all, write one table."""
    runs = [read_fold_result(path) for path in options.ranks]
    matrix_files.write_table(
        options.output, table.build_table(runs, options.resamples, options.confidence)
    )


def read_fold_result(path: Path) -> table.FoldResult:
    """Read what evaluate wrote.

    Raises:
        StoreError: the file is unusable, or its ranks are not of one fold of one variant.
    """
    with Ranks.open(path) as file:
        origin, reranks = file.provenance, file.reranks
        try:
            return table.FoldResult(
                dataset=origin["dataset"],
                variant=origin["variant"],
                fold=origin["fold"],
                seed=origin["seed"],
                ties=origin["ties"],
                bootstrap_seed=origin["bootstrap_seed"],
                image_of_sentence=file.image_of_sentence[:],
                ranks={name: RetrievalRanks(**reranks[name].arrays()) for name in origin["reranks"]},
                params=origin["chosen"],
                upper_bound=origin["ceiling"],
            )
        except KeyError as error:
            raise StoreError(
                f"{path} does not say {error}; expected the ranks of a fold of a variant,"
                " as evaluate writes them from a similarity.h5"
            ) from error
