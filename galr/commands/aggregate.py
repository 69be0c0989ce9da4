"""Collect the ranks of all variants and folds into one table of numbers.

IN   ranks.h5 …     one for each variant and fold, as `galr evaluate` writes them
OUT  metrics.csv    a row for each variant, fold and rerank; then the rows `mean` (with an interval of a joint
                    bootstrap) and `std` over folds. Recalls, mr and mr_expected are percentages; ranks count from 1.
     differences.csv
                    for each rerank and ordered pair of variants the difference of mR, with the interval of a paired
                    bootstrap over the same test images, and the fraction of the resamples in which it is above 0

mr_expected is mR with ties broken at random (its exact expectation), whatever the tie rule of the other columns is.
The columns after `seed` are the parameters that validation chose and the mR there, the tie rule, the mR of a random order, the
largest recalls that sentences shared by several images leave possible, and the confidence of the intervals.
"""

from dataclasses import dataclass
from pathlib import Path

from galr.errors import StoreError
from galr.evaluate import bootstrap, differences, table
from galr.evaluate.ranks import RetrievalRanks
from galr.io.csv_io import write_rows
from galr.io.formats import Ranks
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Input, output and width of the intervals."""

    ranks: tuple[Path, ...] = option("ranks.h5 of every variant and fold, in the table's order")
    resamples: int = option("bootstrap resamples of the images", default=1000)
    confidence: float = option("share of the resamples in the interval", default=0.95)
    output: Path = option("metrics.csv to write")
    differences: Path | None = option("differences.csv to write", default=None)

    def __post_init__(self) -> None:
        """Check the options before any work is done.

        Raises:
            ConfigError: an option is out of its range.
        """
        bootstrap.check_bootstrap(self.resamples, self.confidence, seed=0)


def run(options: Options) -> None:
    """Read all, write the tables."""
    runs = [read_fold_result(path) for path in options.ranks]
    rows = table.build_table(runs, options.resamples, options.confidence)
    if options.differences is not None:
        pairs = differences.build_differences(runs, options.resamples, options.confidence)
        write_rows(options.differences, pairs, differences.DIFFERENCE_COLUMNS)
    write_rows(options.output, rows)


def read_fold_result(path: Path) -> table.FoldResult:
    """Read a ranks.h5.

    Raises:
        StoreError: the file is missing or damaged, or its ranks are not those of one fold of one variant.
    """
    with Ranks.open(path) as file:
        origin, reranks = file.provenance, file.reranks
        validation_mr = origin.get("validation_mr_by_rerank", {})  # absent in older files
        try:
            return table.FoldResult(
                dataset=origin["dataset"],
                variant=origin["variant"],
                fold=origin["fold"],
                seed=origin["seed"],
                ties=origin["ties"],
                bootstrap_seed=origin["bootstrap_seed"],
                image_of_sentence=file.image_of_sentence[:],
                ranks={
                    name: RetrievalRanks(**reranks[name].arrays()) for name in origin["reranks"]
                },
                params={
                    name: {"validation_mr": validation_mr.get(name)} | origin["chosen"][name]
                    for name in origin["reranks"]
                },
                upper_bound=origin["ceiling"],
            )
        except KeyError as error:
            raise StoreError(
                f"{path} does not say {error}; expected the ranks of a fold of a variant,"
                " as evaluate writes them from a similarity.h5"
            ) from error
