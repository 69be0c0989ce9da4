"""Which images a fold trains on, and which it validates on."""

import numpy as np
import pandas as pd
from sklearn.model_selection import ShuffleSplit

from galr.errors import ConfigError, DataError


def seed_of(seed: int, fold: int) -> int:
    """The one seed of a fold: every random number of it follows from this."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def draw_folds(
    names: list[str], splits: list[str], *, count: int, validation: float, seed: int
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
    if not 0 < validation < 1:
        raise ConfigError(f"folds.validation is a share in (0, 1), got {validation}")
    given = np.array(splits)
    train = np.flatnonzero(given == "train")
    table = pd.DataFrame(index=pd.Index(names, name="name"))
    for fold in range(count):
        parts = given.copy()
        if "val" not in splits:
            if len(train) < 2:
                raise DataError(
                    f"{len(train)} training images cannot be split; expected at least 2"
                )
            held = max(1, min(len(train) - 1, round(validation * len(train))))
            drawn = ShuffleSplit(n_splits=1, test_size=held, random_state=seed_of(seed, fold))
            parts[train[next(drawn.split(train))[1]]] = "val"
        table[f"fold{fold}"] = parts
    return table
