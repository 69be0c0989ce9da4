"""A part of a dataset as training and testing need it: its images, their sentences, which speaks of which."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from galr.errors import ConfigError, DataError


@dataclass(frozen=True)
class Part:
    """Some images of a dataset and all their sentences."""

    rows: list[int]  # (images,) rows of dataset.h5, ascending
    sentences: list[str]  # (sentences,) in the order of the images
    image_of_sentence: np.ndarray  # (sentences,) int32, place in `rows`


def part(rows: Sequence[int], sentences: Sequence[str], image_of_sentence: np.ndarray) -> Part:
    """Take some images and their sentences out of a dataset.

    Args:
        rows: (images,) ascending rows of the images to take.
        sentences: all of the dataset's.
        image_of_sentence: (sentences,) int, row of each one's image, non-decreasing.
    """
    place = np.full(max(int(image_of_sentence.max()), *rows) + 1, -1, dtype=np.int32)
    place[list(rows)] = np.arange(len(rows), dtype=np.int32)
    taken = np.flatnonzero(place[image_of_sentence] >= 0).tolist()
    return Part(list(rows), [sentences[i] for i in taken], place[image_of_sentence[taken]])


def fold_parts(
    folds: pd.DataFrame,
    fold: int,
    names: Sequence[str],
    sentences: Sequence[str],
    image_of_sentence: np.ndarray,
) -> dict[str, Part]:
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
        parts[name] = part(rows, sentences, image_of_sentence)
    return parts


def read_folds(path: Path) -> pd.DataFrame:
    """Read folds.csv; a name such as `NA` or `007` stays the text it is."""
    return pd.read_csv(path, dtype=str, keep_default_na=False).set_index("name")
