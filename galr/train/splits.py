"""A part of a dataset as training and testing need it: its images, their sentences, which speaks of which.

Which images a fold trains on, and which it validates on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import ShuffleSplit

from galr.errors import ConfigError, DataError


@dataclass(frozen=True)
class SplitData:
    """Some images of a dataset and all their sentences."""

    rows: list[int]  # (images,) rows of dataset.h5, ascending
    sentences: list[str]  # (sentences,) in the order of the images
    image_of_sentence: np.ndarray  # (sentences,) int32, place in `rows`


def select(
    rows: Sequence[int], sentences: Sequence[str], image_of_sentence: np.ndarray
) -> SplitData:
    """Take some images and their sentences out of a dataset.

    Args:
        rows: (images,) ascending rows of the images to take.
        sentences: all of the dataset's.
        image_of_sentence: (sentences,) int, row of each one's image, non-decreasing.
    """
    place = np.full(max(int(image_of_sentence.max()), *rows) + 1, -1, dtype=np.int32)
    place[list(rows)] = np.arange(len(rows), dtype=np.int32)
    taken = np.flatnonzero(place[image_of_sentence] >= 0).tolist()
    return SplitData(list(rows), [sentences[i] for i in taken], place[image_of_sentence[taken]])


def split_by_fold(
    folds: pd.DataFrame,
    fold: int,
    names: Sequence[str],
    sentences: Sequence[str],
    image_of_sentence: np.ndarray,
) -> dict[str, SplitData]:
    """Divide a dataset as one fold says.

    Args:
        folds: indexed by image name, a column `fold<k>` for each fold.
        fold: which one.
        names: (images,) of the dataset.
        sentences: (sentences,) of the dataset.
        image_of_sentence: (sentences,) int, non-decreasing.

    Returns:
        The parts `train`, `val` and `test`.

    Raises:
        ConfigError: there is no such fold.
        DataError: the folds are of another dataset, or a part is empty.
    """
    column = f"fold{fold}"
    if column not in folds:
        raise ConfigError(f"there is no {column}; known: {', '.join(folds.columns)}")
    if list(folds.index) != list(names):
        raise DataError("folds.csv names other images than dataset.h5; run: galr folds")
    said = folds[column].to_numpy()
    parts = {}
    for name in ("train", "val", "test"):
        rows = np.flatnonzero(said == name).tolist()
        if not rows:
            raise DataError(f"{column} has no {name} images; expected at least one")
        parts[name] = select(rows, sentences, image_of_sentence)
    return parts


def read_folds(path: Path) -> pd.DataFrame:
    """Read folds.csv; a name such as `NA` or `007` stays the text it is."""
    return pd.read_csv(path, dtype=str, keep_default_na=False).set_index("name")


def fold_seed(seed: int, fold: int) -> int:
    """The one seed of a fold: every random number of it follows from this."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def draw_folds(
    names: list[str], splits: list[str], *, num_folds: int, validation_fraction: float, seed: int
) -> pd.DataFrame:
    """Give every image a part in every fold.

    A dataset with a validation split of its own keeps it, and its folds differ by their seeds alone.

    Args:
        names: (images,) unique names.
        splits: (images,) `train`, `val` or `test`.
        count: number of folds.
        validation: share of the training images to validate on, in (0, 1).
        seed: of the experiment.

    Returns:
        A table indexed by image name, columns `fold0`, `fold1`, …, values `train`, `val`, `test`.

    Raises:
        ConfigError: the share is not within (0, 1).
        DataError: too few training images to set any aside.
    """
    if not 0 < validation_fraction < 1:
        raise ConfigError(f"folds.validation is a share in (0, 1), got {validation_fraction}")
    given = np.array(splits)
    train = np.flatnonzero(given == "train")
    table = pd.DataFrame(index=pd.Index(names, name="name"))
    for fold in range(num_folds):
        parts = given.copy()
        if "val" not in splits:
            if len(train) < 2:
                raise DataError(
                    f"{len(train)} training images cannot be split; expected at least 2"
                )
            held = max(1, min(len(train) - 1, round(validation_fraction * len(train))))
            drawn = ShuffleSplit(n_splits=1, test_size=held, random_state=fold_seed(seed, fold))
            parts[train[next(drawn.split(train))[1]]] = "val"
        table[f"fold{fold}"] = parts
    return table
