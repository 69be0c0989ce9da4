"""`galr check`: what it finds in small datasets, and that it refuses what `galr data` refuses."""

import csv
import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

from galr.__main__ import main
from galr.commands.check import Options
from galr.data.count_sentences import count_splits
from galr.data.validate import PROBLEM_KINDS, MatchedImage

SPLITS = ["train"] * 6 + ["val"] * 2 + ["test"] * 4


def random_image(seed, size=96):
    """An image of random blobs: low frequencies, as photographs have."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    return coarse.resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def workspace(tmp_path):
    """A dataset of twelve different images, two sentences each, laid out as in the workflow."""
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    for number in range(len(SPLITS)):
        random_image(number).save(folder / "images" / f"{number}.png")
    write_captions(folder, [[f"scene {n} here", "a plane is here"] for n in range(len(SPLITS))])
    write_spec(tmp_path, "mine", folder=str(folder))
    return tmp_path


def write_captions(folder, sentences, splits=SPLITS):
    images = [
        {"filename": f"{n}.png", "split": split, "sentences": [{"raw": text} for text in texts]}
        for n, (split, texts) in enumerate(zip(splits, sentences, strict=True))
    ]
    (folder / "dataset.json").write_text(json.dumps({"images": images}), "utf-8")


def write_spec(root, name, **source):
    document = {
        "title": "Mine", "licence": "mine", "citation": "me",
        "layout": {"kind": "karpathy", "file": "dataset.json"},
        "splits": {split: [split] for split in ("train", "val", "test")},
    } | source  # fmt: skip
    path = root / "config/datasets" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document), "utf-8")


def check(workspace, *flags, name="mine"):
    """Run the command, and return its exit code and its JSON."""
    path, output = workspace / f"config/datasets/{name}.yaml", workspace / "check.json"
    code = main(
        ["check", "--dataset", str(path), "--json", str(output), "--min-word-count", "2", *flags]
    )
    return code, json.loads(output.read_text("utf-8"))


def listed(workspace, *flags):
    """The rows of the list of duplicates."""
    assert check(workspace, "--list", str(workspace / "same.csv"), *flags)[0] == 0
    with (workspace / "same.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_sound_dataset_is_usable(workspace, capsys):
    code, found = check(workspace)
    assert code == 0 and found["usable"] and found["reason"] is None
    assert {name: split["images"] for name, split in found["splits"].items()} == {
        "train": 6, "val": 2, "test": 4,
    }  # fmt: skip
    assert found["splits"]["train"]["per_image"] == [2, 2, 2]
    assert found["splits"]["test"]["shared"] == 4  # "a plane is here" of every image
    assert found["splits"]["test"]["also_in"] == {"train": 4, "val": 4}
    assert found["problems"] == [] and found["unused_files"] == 0
    assert found["read_as"] == ["12 images read as RGB, 8 bits"]
    assert found["duplicates"]["equal_files"] == found["duplicates"]["similar"] == 0
    out = capsys.readouterr().out
    assert "mine: 12 images" in out and out.endswith("usable: galr data takes this dataset\n")


def test_nothing_is_written_but_what_is_asked_for(workspace):
    before = sorted(workspace.rglob("*"))
    path = workspace / "config/datasets/mine.yaml"
    assert main(["check", "--dataset", str(path)]) == 0
    assert sorted(workspace.rglob("*")) == before


def test_planted_duplicates_are_found_and_listed(workspace, capsys):
    images = workspace / "mine/images"
    shutil.copy(images / "0.png", images / "8.png")  # the same bytes, train and test
    random_image(1).save(images / "6.png", compress_level=0)  # the same pixels, train and val
    random_image(2).resize((48, 48)).save(images / "3.jpg", quality=60)  # re-encoded, within train
    (images / "3.png").unlink()
    rows = listed(workspace)
    assert [(row["image"], row["other_image"], row["same_file"]) for row in rows] == [
        ("0", "8", "True"),
        ("1", "6", "False"),
        ("2", "3", "False"),
    ]
    assert rows[0] == {
        "image": "0", "split": "train", "file": "images/0.png", "other_image": "8",
        "other_split": "test", "other_file": "images/8.png", "same_file": "True",
        "different_bits": "0",
    }  # fmt: skip
    assert rows[2]["file"] == "images/2.png" and int(rows[2]["different_bits"]) <= 4
    out = capsys.readouterr().out
    assert "1 of 4 test images are also in train" in out and "0 (train) = 8 (test): equal" in out
    found = check(workspace, "--max-distance", "0")[1]
    assert found["duplicates"]["equal_files"] == 1 and found["duplicates"]["across_splits"] == 2
    warnings = [line for line in found["warnings"] if "learnt by heart" in line]
    assert [line.split(";")[0] for line in warnings] == [
        "1 of 2 val images are also in train", "1 of 4 test images are also in train",
    ]  # fmt: skip


def test_images_of_another_dataset_are_found(workspace):
    other = workspace / "other"
    (other / "images").mkdir(parents=True)
    for number in range(len(SPLITS)):
        random_image(100 + number).save(other / "images" / f"{number}.png")
    random_image(9).save(other / "images/1.png", compress_level=0)
    shutil.copy(other / "images/2.png", other / "images/3.png")  # not the checked dataset's affair
    write_captions(other, [["a ship"]] * len(SPLITS))
    write_spec(workspace, "other", folder=str(other))
    path = workspace / "config/datasets/other.yaml"
    (row,) = listed(workspace, "--against", str(path))
    assert (row["image"], row["split"], row["other_split"]) == ("9", "test", "other train")
    assert (row["other_image"], row["same_file"]) == ("1", "False")


def test_images_of_one_colour_are_no_duplicates_of_each_other(workspace):
    for number, colour in enumerate(("black", "white", "red")):
        Image.new("RGB", (96, 96), colour).save(workspace / f"mine/images/{number}.png")
    assert listed(workspace) == []
    constant = [line for line in check(workspace)[1]["read_as"] if "constant" in line]
    assert len(constant) == 1 and constant[0].startswith("3 of 12 images")


def test_images_of_one_shape_and_several_colours_are_no_duplicates(workspace):
    shape = np.asarray(random_image(0).convert("L"), float)
    for number, colour in enumerate(([1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1])):
        pixels = (shape[..., None] * colour).astype(np.uint8)
        Image.fromarray(pixels).save(workspace / f"mine/images/{number}.png")
    assert listed(workspace) == []


def test_no_duplicates_are_invented_on_drawn_scenes(tmp_path):
    drawn = tmp_path / "drawn"
    assert main(["draw", "--images", "80", "--size", "64", "--output", str(drawn)]) == 0
    splits = {"train": ["train"], "val": [], "test": ["test"]}
    write_spec(tmp_path, "mine", folder=str(drawn), splits=splits)
    assert listed(tmp_path) == []


def test_repeated_sentences_are_counted():
    images = {
        "train": [
            MatchedImage("a", "train", ("One plane", "one  PLANE", "two"), None),
            MatchedImage("b", "train", ("one plane", "three"), None),
        ],
        "val": [],
        "test": [MatchedImage("c", "test", ("two", "four"), None)],
    }
    counts = count_splits(images)
    assert list(counts) == ["train", "test"]
    train = counts["train"]
    assert (train.images, train.sentences, train.per_image) == (2, 5, (2, 2.5, 3))
    assert (train.repeated_within, train.shared, train.also_in) == (1, 3, {"test": 1})
    assert counts["test"].also_in == {"train": 1}


def test_ceilings_follow_from_repeated_sentences_and_images(workspace):
    images = workspace / "mine/images"
    sentences = [[f"scene {number}"] for number in range(len(SPLITS))]
    sentences[8] = sentences[9] = ["the same"]
    write_captions(workspace / "mine", sentences)
    ceilings = check(workspace)[1]["ceilings"]
    assert ceilings["val"]["pessimistic"]["mr"] == 100
    assert ceilings["test"]["pessimistic"]["i2t_r1"] == 50  # of images 8 and 9 none is sure
    assert ceilings["test"]["expected"]["i2t_r1"] == 75
    assert ceilings["test"]["pessimistic"]["t2i_r1"] == 75
    shutil.copy(images / "10.png", images / "11.png")
    assert check(workspace)[1]["ceilings"]["test"]["pessimistic"]["t2i_r1"] == 25


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        (
            [["飞机"]] * 6 + [["船"]] * 6,
            "100 % of the words of the test split are not in the vocab",
        ),
        (
            [[f"{n}"] for n in range(12)],
            "training will be refused: no word of the training sentenc",
        ),
    ],
)
def test_words_that_training_would_not_know_are_warned_of(workspace, capsys, sentences, message):
    write_captions(workspace / "mine", sentences)
    code, found = check(workspace)
    assert code == 0 and any(line.startswith(message) for line in found["warnings"])
    assert f"warning: {message}" in capsys.readouterr().out


def data(workspace, tmp_path, **policies):
    """Run `galr data` with the default policies."""
    flags = {kind: getattr(Options(dataset=tmp_path), kind) for kind in PROBLEM_KINDS} | policies
    return main(
        [
            *("data", "--dataset", f"{workspace}/config/datasets/mine.yaml", "--size", "8"),
            *("--folder", f"{workspace}/mine"),
            *(word for k, v in flags.items() for word in (f"--{k.replace('_', '-')}", v)),
            *("--output", f"{tmp_path}/dataset.h5", "--report", f"{tmp_path}/report.csv"),
        ]
    )


def remove_image(folder):
    (folder / "images/3.png").unlink()


def truncate_png(folder):
    path = folder / "images/3.png"
    path.write_bytes(path.read_bytes()[:-400])


def truncate_jpeg(folder):
    random_image(3, 200).save(folder / "images/3.jpg")
    (folder / "images/3.png").unlink()
    path = folder / "images/3.jpg"
    path.write_bytes(path.read_bytes()[:-400])


def replace_by_web_page(folder):
    (folder / "images/3.png").write_text("<html>not found</html>")


def annotate_twice(folder):
    document = json.loads((folder / "dataset.json").read_text())
    document["images"].append(document["images"][0])
    (folder / "dataset.json").write_text(json.dumps(document))


def empty_sentences(folder):
    write_captions(folder, [[] if n == 2 else ["a plane"] for n in range(len(SPLITS))])


def blank_test_split(folder):
    write_captions(folder, [["." if n > 7 else "a plane"] for n in range(len(SPLITS))])


def break_json(folder):
    (folder / "dataset.json").write_text("{")


BREAKS = (
    remove_image, truncate_png, truncate_jpeg, replace_by_web_page, annotate_twice, empty_sentences,
    blank_test_split, break_json,
)  # fmt: skip


@pytest.mark.parametrize("damage", BREAKS)
def test_what_data_refuses_is_refused_with_the_same_line(workspace, tmp_path, capsys, damage):
    damage(workspace / "mine")
    assert data(workspace, tmp_path) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    code, found = check(workspace)
    assert code == 2 and not found["usable"]
    assert capsys.readouterr().err.strip().splitlines()[-1] == line
    assert line == f"galr: DataError: {' '.join(found['reason'].split())}"


def test_what_data_drops_is_usable_with_a_warning(workspace, tmp_path, capsys):
    remove_image(workspace / "mine")
    replace_by_web_page(workspace / "mine")
    (workspace / "mine/images/5.png").unlink()
    assert data(workspace, tmp_path, missing_image="drop", corrupt_image="drop") == 0
    capsys.readouterr()
    code, found = check(workspace, "--missing-image", "drop", "--corrupt-image", "drop")
    assert code == 0 and found["usable"] and found["splits"]["train"]["images"] == 4
    assert [(each["item"], each["kind"]) for each in found["problems"]] == [
        ("5", "missing_image"), ("3", "corrupt_image"),
    ]  # fmt: skip
    out = capsys.readouterr().out
    assert "1 image missing\n    5: " in out and "1 image cannot be read\n    3: " in out


def test_the_default_policies_are_those_of_the_config(request):
    config = yaml.safe_load((request.config.rootpath / "config/config.yaml").read_text())
    options = Options(dataset=request.config.rootpath)
    for kind in PROBLEM_KINDS:
        assert getattr(options, kind) == config["data"][kind]
    assert options.min_word_count == config["train"]["min_word_count"]
    assert options.unpack_limit_gb == config["data"]["unpack_limit_gb"]


ARCHIVES = [
    {"file": name, "urls": ["https://example.org/a"], "sha256": None} for name in ("a.zip", "b.txt")
]


def test_missing_archives_are_named_with_the_command_that_gets_them(workspace, capsys):
    write_spec(workspace, "mine", archives=ARCHIVES)
    (workspace / "Snakefile").touch()
    archives = workspace / "resources/mine/archives"
    assert check(workspace)[0] == 2
    line = capsys.readouterr().err
    assert f"2 of the 2 archives of mine are not in {archives}: a.zip, b.txt; " in line
    assert line.endswith("run: snakemake resources/mine/files\n")
    archives.mkdir(parents=True)
    (archives / "a.zip").touch()
    assert check(workspace)[0] == 2 and "1 of the 2 archives" in capsys.readouterr().err
    (archives / "b.txt").touch()
    code, found = check(workspace)
    assert code == 2 and found["reason"].startswith("the archives of mine are not extracted yet; ")
    shutil.copytree(workspace / "mine", workspace / "resources/mine/files")
    assert check(workspace)[0] == 0


def test_a_dataset_that_was_not_drawn_yet_is_named(workspace, capsys):
    write_spec(workspace, "mine", synthetic={"images": 10, "size": 64, "sentences": 2, "seed": 0})
    assert check(workspace)[0] == 2
    assert "resources/mine/files does not exist; make it with galr draw" in capsys.readouterr().err


def test_tables_are_unpacked_for_the_check_alone(workspace):
    pandas = pytest.importorskip("pandas")
    tables = workspace / "tables"
    tables.mkdir()
    for split in ("train", "val", "test"):
        numbers = [n for n, name in enumerate(SPLITS) if name == split]
        rows = [
            {"image": (workspace / f"mine/images/{n}.png").read_bytes(), "captions": ["a plane", "two"],
             "filename": f"{n}.png"}
            for n in numbers
        ]  # fmt: skip
        pandas.DataFrame(rows).to_parquet(tables / f"{split}-0.parquet")
    layout = {"kind": "parquet", "file": "{split}-*.parquet"}
    write_spec(workspace, "mine", folder=str(tables), layout=layout)
    code, found = check(workspace)
    assert code == 0 and found["splits"]["test"]["images"] == 4
    assert found["folder"] == str(tables)
    assert sorted(path.name for path in workspace.iterdir()) == [
        "check.json", "config", "mine", "tables",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--max-distance", "17"), "max_distance must be 0 to 16, got 17"),
        (("--show", "-1"), "show at least 0, got 2 and -1"),
        (("--folder", "nowhere"), "nowhere is not a folder"),
    ],
)
def test_bad_options_are_refused(workspace, capsys, flags, message):
    path = workspace / "config/datasets/mine.yaml"
    assert main(["check", "--dataset", str(path), "--min-word-count", "2", *flags]) == 2
    assert message in capsys.readouterr().err
