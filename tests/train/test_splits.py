"""Folds, and the splits of a dataset that they give."""

import numpy as np
import pytest

from galr.errors import ConfigError, DataError
from galr.train.splits import draw_folds, fold_seed, read_folds, split_by_fold

NAMES = [f"{i:03d}" for i in range(50)]
SPLITS = ["train"] * 40 + ["test"] * 10


def draw(num_folds, seed=1, splits=SPLITS):
    return draw_folds(NAMES, splits, num_folds=num_folds, validation_fraction=0.2, seed=seed)


def test_folds_divide_the_training_images_and_leave_the_test_images_alone():
    folds = draw(3)
    for fold in ("fold0", "fold1", "fold2"):
        assert (folds[fold][:40] == "val").sum() == 8
        assert (folds[fold][:40] == "train").sum() == 32
        assert (folds[fold][40:] == "test").all()
    assert not folds["fold0"].equals(folds["fold1"])


def test_same_seed_same_folds_and_more_folds_begin_alike():
    assert draw(3).equals(draw(3))
    assert draw(3)["fold1"].equals(draw(2)["fold1"])
    assert not draw(3)["fold0"].equals(draw(1, seed=2)["fold0"])
    assert len({fold_seed(s, f) for s in range(20) for f in range(20)}) == 400


def test_a_dataset_keeps_its_own_validation_split():
    splits = ["train"] * 30 + ["val"] * 10 + ["test"] * 10
    folds = draw(2, splits=splits)
    assert folds["fold0"].tolist() == folds["fold1"].tolist() == splits


def test_impossible_folds_are_errors():
    with pytest.raises(ConfigError, match=r"in \(0, 1\), got 1"):
        draw_folds(NAMES, SPLITS, num_folds=1, validation_fraction=1, seed=0)
    with pytest.raises(DataError, match="1 training images cannot be split"):
        draw_folds(["a", "b"], ["train", "test"], num_folds=1, validation_fraction=0.2, seed=0)


def test_splits_hold_each_image_with_its_own_sentences(tmp_path):
    draw(1).to_csv(tmp_path / "folds.csv")
    image_of_sentence = np.repeat(np.arange(50), np.arange(50) % 3 + 1)
    sentences = [f"of {NAMES[i]}" for i in image_of_sentence]
    splits = split_by_fold(
        read_folds(tmp_path / "folds.csv"), 0, NAMES, sentences, image_of_sentence
    )
    assert sorted(row for split in splits.values() for row in split.rows) == list(range(50))
    assert sum(len(split.sentences) for split in splits.values()) == len(sentences)
    for split in splits.values():
        for sentence, image in zip(split.sentences, split.image_of_sentence, strict=True):
            assert sentence == f"of {NAMES[split.rows[image]]}"


def test_images_may_be_named_like_missing_values_or_numbers(tmp_path):
    (tmp_path / "folds.csv").write_text("name,fold0\nNA,train\n007,val\nnull,test\n")
    assert read_folds(tmp_path / "folds.csv").index.tolist() == ["NA", "007", "null"]


def test_a_missing_or_foreign_table_of_folds_is_an_error(tmp_path):
    path = tmp_path / "folds.csv"
    with pytest.raises(DataError, match=r"folds\.csv does not exist"):
        read_folds(path)
    path.write_text("name,split\na,train\n")
    with pytest.raises(DataError, match=r"folds\.csv lacks fold0"):
        read_folds(path)


def test_folds_of_another_dataset_are_errors():
    folds = draw(1)
    with pytest.raises(DataError, match="other images"):
        split_by_fold(folds, 0, NAMES[::-1], ["x"] * 50, np.arange(50))
    with pytest.raises(ConfigError, match="no fold1; known: fold0"):
        split_by_fold(folds, 1, NAMES, ["x"] * 50, np.arange(50))
