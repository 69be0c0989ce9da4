"""Splits of a dataset: the images that a fold trains on, validates on and tests on, with their sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from galr.errors import ConfigError, DataError
from galr.io.csv_io import read_csv

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SplitData:
    """Some images of a dataset and all their sentences."""

    rows: list[int]  # (images,) rows of dataset.h5, ascending
    sentences: list[str]  # (sentences,) in the order of the images
    image_of_sentence: np.ndarray  # (sentences,) int32, index into `rows`, non-decreasing


def fold_seed(seed: int, fold: int) -> int:
    """The seed of a fold, from which all its random numbers follow."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def draw_folds(
    names: list[str], splits: list[str], *, num_folds: int, validation_fraction: float, seed: int
) -> pd.DataFrame:
    """Assign every image to a split in every fold.

    In a dataset without a validation split each fold draws its own from the training images. A dataset that
    has one keeps it in all folds, which then differ by their seeds alone.

    Args:
        names: (images,) unique names.
        splits: (images,) `train`, `val` or `test`.
        num_folds: number of folds.
        validation_fraction: fraction of the training images to validate on, in (0, 1).
        seed: seed of the experiment.

    Returns:
        A table indexed by image name, columns `fold0`, `fold1`, …, values `train`, `val`, `test`.

    Raises:
        ConfigError: the fraction is not within (0, 1).
        DataError: there are too few training images.
    """
    from sklearn.model_selection import ShuffleSplit  # takes seconds to import, used only here

    if not 0 < validation_fraction < 1:
        raise ConfigError(
            f"folds.validation must be a fraction in (0, 1), got {validation_fraction}"
        )
    original = np.array(splits)
    train = np.flatnonzero(original == "train")
    table = pd.DataFrame(index=pd.Index(names, name="name"))
    for fold in range(num_folds):
        column = original.copy()
        if "val" not in splits:
            if len(train) < 2:
                raise DataError(
                    f"{len(train)} training images cannot be split; expected at least 2"
                )
            size = max(1, min(len(train) - 1, round(validation_fraction * len(train))))
            split = ShuffleSplit(n_splits=1, test_size=size, random_state=fold_seed(seed, fold))
            _, validation = next(split.split(train))
            column[train[validation]] = "val"
        table[f"fold{fold}"] = column
    return table


def read_folds(path: Path) -> pd.DataFrame:
    """Read folds.csv, names as text: an image may be named `NA` or `007`.

    Raises:
        DataError: the file is missing, or is not a table of folds.
    """
    return read_csv(path, ["name", "fold0"], text_columns=["name"]).set_index("name")


def split_by_fold(
    folds: pd.DataFrame,
    fold: int,
    names: Sequence[str],
    sentences: Sequence[str],
    image_of_sentence: np.ndarray,
) -> dict[str, SplitData]:
    """Split a dataset by one fold.

    Args:
        folds: indexed by image name, a column `fold<k>` for each fold.
        fold: which fold, from 0.
        names: (images,) names of the dataset's images.
        sentences: (sentences,) texts of the dataset.
        image_of_sentence: (sentences,) int, row of each sentence's image, non-decreasing.

    Returns:
        The splits `train`, `val` and `test`, by name.

    Raises:
        ConfigError: there is no such fold.
        DataError: the folds are of another dataset, or a split is empty.
    """
    column = f"fold{fold}"
    if column not in folds:
        raise ConfigError(f"there is no {column}; known: {', '.join(folds.columns)}")
    if list(folds.index) != list(names):
        raise DataError("folds.csv names other images than dataset.h5; run: galr folds")
    split_of_image = folds[column].to_numpy()
    splits = {}
    for name in SPLITS:
        rows = np.flatnonzero(split_of_image == name).tolist()
        if not rows:
            raise DataError(f"{column} has no {name} images; expected at least one")
        splits[name] = select(rows, sentences, image_of_sentence)
    return splits


def select(
    rows: Sequence[int], sentences: Sequence[str], image_of_sentence: np.ndarray
) -> SplitData:
    """Select some images of a dataset and their sentences.

    Args:
        rows: (images,) ascending rows of the images to select.
        sentences: (sentences,) texts of the dataset.
        image_of_sentence: (sentences,) int, row of each sentence's image, non-decreasing.
    """
    index = np.full(max(int(image_of_sentence.max()), *rows) + 1, -1, dtype=np.int32)
    index[list(rows)] = np.arange(len(rows), dtype=np.int32)
    selected = np.flatnonzero(index[image_of_sentence] >= 0).tolist()
    return SplitData(
        list(rows), [sentences[i] for i in selected], index[image_of_sentence[selected]]
    )
