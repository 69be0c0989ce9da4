import numpy as np
import pytest

from galr.errors import ConfigError, DataError
from galr.train.splits import draw_folds, fold_seed, read_folds, split_by_fold

NAMES = [f"{i:03d}" for i in range(50)]
SPLITS = ["train"] * 40 + ["test"] * 10


def test_folds_divide_the_training_images_and_leave_the_test_alone():
    folds = draw_folds(NAMES, SPLITS, num_folds=3, validation_fraction=0.2, seed=1)
    for fold in ("fold0", "fold1", "fold2"):
        assert (folds[fold][:40] == "val").sum() == 8
        assert (folds[fold][:40] == "train").sum() == 32
        assert (folds[fold][40:] == "test").all()
    assert not folds["fold0"].equals(folds["fold1"])


def test_same_seed_same_folds_and_more_folds_begin_alike():
    three = draw_folds(NAMES, SPLITS, num_folds=3, validation_fraction=0.2, seed=1)
    assert three.equals(draw_folds(NAMES, SPLITS, num_folds=3, validation_fraction=0.2, seed=1))
    assert three["fold1"].equals(
        draw_folds(NAMES, SPLITS, num_folds=2, validation_fraction=0.2, seed=1)["fold1"]
    )
    assert not three["fold0"].equals(
        draw_folds(NAMES, SPLITS, num_folds=1, validation_fraction=0.2, seed=2)["fold0"]
    )
    assert len({fold_seed(s, f) for s in range(20) for f in range(20)}) == 400


def test_a_given_validation_split_is_kept():
    given = ["train"] * 30 + ["val"] * 10 + ["test"] * 10
    folds = draw_folds(NAMES, given, num_folds=2, validation_fraction=0.2, seed=1)
    assert folds["fold0"].tolist() == folds["fold1"].tolist() == given


def test_nonsense_is_refused():
    with pytest.raises(ConfigError, match=r"in \(0, 1\), got 1"):
        draw_folds(NAMES, SPLITS, num_folds=1, validation_fraction=1, seed=0)
    with pytest.raises(DataError, match="1 training images cannot be split"):
        draw_folds(["a", "b"], ["train", "test"], num_folds=1, validation_fraction=0.2, seed=0)


def test_parts_hold_each_image_with_its_own_sentences(tmp_path):
    folds = draw_folds(NAMES, SPLITS, num_folds=1, validation_fraction=0.2, seed=1)
    folds.to_csv(tmp_path / "folds.csv")
    owners = np.repeat(np.arange(50), np.arange(50) % 3 + 1)  # 1 to 3 sentences an image
    sentences = [f"of {NAMES[i]}" for i in owners]
    parts = split_by_fold(read_folds(tmp_path / "folds.csv"), 0, NAMES, sentences, owners)
    assert sorted(row for part in parts.values() for row in part.rows) == list(range(50))
    assert sum(len(part.sentences) for part in parts.values()) == len(sentences)
    for part in parts.values():
        for sentence, place in zip(part.sentences, part.image_of_sentence, strict=True):
            assert sentence == f"of {NAMES[part.rows[place]]}"


def test_folds_of_another_dataset_are_refused():
    folds = draw_folds(NAMES, SPLITS, num_folds=1, validation_fraction=0.2, seed=1)
    owners = np.arange(50)
    with pytest.raises(DataError, match="other images"):
        split_by_fold(folds, 0, NAMES[::-1], ["x"] * 50, owners)
    with pytest.raises(ConfigError, match="no fold1; known: fold0"):
        split_by_fold(folds, 1, NAMES, ["x"] * 50, owners)
