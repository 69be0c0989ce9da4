"""Draw the training and validation images of every fold.

IN   dataset.h5
OUT  folds.csv     name, fold0, fold1, …: train, val or test

All variants share the folds. A dataset with a validation split keeps it in every fold.
"""

from dataclasses import dataclass
from pathlib import Path

from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Input, output, and how to draw."""

    dataset: Path = option("dataset.h5")
    count: int = option("number of folds")
    validation: float = option("fraction of the training images to validate on, in (0, 1)")
    seed: int = option("seed of the experiment")
    output: Path = option("folds.csv to write")


def run(options: Options) -> None:
    """Draw and store the folds."""
    # Imported here, so that --help starts without pandas.
    from galr.io.csv_io import write_csv
    from galr.io.formats import Dataset
    from galr.train.splits import draw_folds

    with Dataset.open(options.dataset) as dataset:
        names, splits = dataset.names, dataset.splits
    folds = draw_folds(
        names,
        splits,
        num_folds=options.count,
        validation_fraction=options.validation,
        seed=options.seed,
    )
    write_csv(options.output, ["name", *folds.columns], folds.itertuples(name=None))
