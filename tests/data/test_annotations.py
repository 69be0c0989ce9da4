"""Datasets in every layout, from their files to dataset.h5, and the mistakes in them."""

import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from PIL import Image

from galr.__main__ import main
from galr.data.annotations import draw_validation, read_dataset
from galr.data.dataset_spec import LAYOUTS, LAYOUTS_PAGE, DrawnValidation, read_dataset_spec
from galr.data.find_images import list_files
from galr.data.layouts import DatasetIndex, ImageEntry
from galr.data.validate import PROBLEM_KINDS
from galr.errors import ConfigError, DataError
from galr.io.formats import Dataset
from galr.train.splits import draw_folds

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / LAYOUTS_PAGE).read_text("utf-8")
SECTIONS = {
    name: text
    for name, text in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
LAYOUT = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"^`([\w.]+)`.*?:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPLITS = {"train": ["train"], "val": [], "test": ["test"]}
CSV = {"kind": "csv", "file": "{split}.csv"}
NWPU = {"kind": "nwpu", "file": "dataset_nwpu.json"}


def spec(folder, layout, splits=SPLITS):
    """The dataset file of a layout, as it was read back."""
    document = {"title": "T", "licence": "L", "citation": "C", "folder": str(folder)}
    path = folder.with_name("mine.yaml")
    path.write_text(yaml.safe_dump(document | {"layout": layout, "splits": splits}), "utf-8")
    return read_dataset_spec(path)


def read(folder, layout, splits=SPLITS):
    """The annotations of a folder."""
    return read_dataset(spec(folder, layout, splits), folder, list_files(folder))


def store(folder, layout, splits=SPLITS):
    """The tables of dataset.h5 that a folder is stored as; packed images are unpacked first."""
    dataset = spec(folder, layout, splits)
    workspace = folder.parent
    source = folder
    if dataset.is_packed:
        folder = workspace / "unpacked"
        words = ("--unpack-limit-gb", "1", "--folder", str(source), "--output", str(folder))
        assert main(["unpack", "--dataset", f"{workspace}/mine.yaml", *words]) == 0
    policies = (word for kind in PROBLEM_KINDS for word in (f"--{kind.replace('_', '-')}", "error"))
    outputs = ("--output", f"{workspace}/dataset.h5", "--report", f"{workspace}/data_report.csv")
    where = ("--dataset", f"{workspace}/mine.yaml", "--folder", str(folder))
    assert main(["data", "--size", "16", *where, *policies, *outputs]) == 0
    with Dataset.open(workspace / "dataset.h5") as file:
        texts = {name: getattr(file, name) for name in ("names", "files", "splits", "sentences")}
        return texts | file.arrays()


@pytest.fixture
def folder(tmp_path):
    """A folder of two images in different colours."""
    folder = tmp_path / "mine"
    (folder / "harbor").mkdir(parents=True)
    Image.new("RGB", (64, 64), "blue").save(folder / "harbor/1.png")
    Image.new("RGB", (64, 64), "green").save(folder / "2.png")
    return folder


def examples():
    """Each layout of the page, with the files that its section shows."""
    for name in LAYOUTS:
        text = SECTIONS[name]
        starts = [match.start() for match in LAYOUT.finditer(text)] + [len(text)]
        for number, (start, end) in enumerate(pairwise(starts)):
            yield pytest.param(name, text[start:end], id=f"{name}-{number}")


@pytest.mark.parametrize(("name", "text"), list(examples()))
def test_the_smallest_files_of_the_documentation_become_a_dataset(folder, name, text):
    layout = yaml.safe_load(LAYOUT.search(text)[1])["layout"]
    assert layout["kind"] == name
    for file, content in FILE.findall(text):
        (folder / file).write_text(content, "utf-8")
    if name in ("parquet", "webdataset"):
        for image in folder.rglob("*.png"):
            image.unlink()
        code = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    dataset = store(folder, layout)
    assert dataset["splits"] == ["train", "test"]
    assert dataset["sentences"][0] == "two ships beside a pier"
    assert dataset["sentences"][1].startswith("a pier")
    assert dataset["sentences"][2:] == ["a green field"]
    assert dataset["image_of_sentence"].tolist() == [0, 0, 1]
    blue, green = dataset["images"][:, 8, 8]
    assert blue.argmax() == 2 and green.argmax() == 1


def test_every_layout_of_the_schema_is_documented():
    schema = yaml.safe_load((ROOT / "galr/schemas/dataset.schema.yaml").read_text("utf-8"))
    kinds = schema["properties"]["layout"]["properties"]["kind"]["enum"]
    assert set(kinds) == set(LAYOUTS) <= SECTIONS.keys()


def test_rows_of_an_image_are_its_sentences_wherever_they_stand(folder):
    rows = (
        "filepath\ttitle\nharbor/1.png\tone\n2.png\tfield\n harbor\\1.png \ttwo\nharbor/1.png\t\n"
    )
    (folder / "train.csv").write_bytes(b"\xef\xbb\xbf" + rows.replace("\n", "\r\n").encode())
    (folder / "test.csv").write_text('title\tother\tfilepath\n\n"a\nb"\t\tharbor/1.png\n\tx\t\n')
    index = read(folder, CSV)
    assert [(i.path, i.split, i.sentences) for i in index.images] == [
        ("harbor/1.png", "train", ("one", "two", "")),
        ("2.png", "train", ("field",)),
        ("harbor/1.png", "test", ("a\nb",)),
    ]
    assert [(s.location, s.reason) for s in index.unmatched] == [
        ("test.csv line 5", "its filepath is blank")
    ]


def test_a_column_of_splits_is_checked_as_in_other_layouts(folder):
    rows = "file;text;part\n2.png;a;fit\nharbor/1.png;b;eval\n3.png;c;extra\n"
    (folder / "all.csv").write_text(rows)
    layout = {"kind": "csv", "file": "all.csv", "image": "file", "sentence": "text", "split": "part",
              "separator": ";"}  # fmt: skip
    splits = {"train": ["fit"], "val": [], "test": ["eval"]}
    with pytest.raises(DataError, match=r"1 images of split 'extra'.*add it to splits"):
        read(folder, layout, splits)
    with pytest.raises(DataError, match="no image of split 'rest', only of"):
        read(folder, layout, splits | {"unused": ["extra", "rest"]})
    index = read(folder, layout, splits | {"unused": ["extra"]})
    assert [(i.name, i.split) for i in index.images] == [("2", "train"), ("harbor/1", "test")]


def test_a_name_with_a_star_may_be_several_tables(folder):
    (folder / "parts").mkdir()
    for number in range(2):
        (folder / f"parts/train-{number}.csv").write_text(
            f"filepath\ttitle\n2.png\tpart {number}\n"
        )
    (folder / "test-0.csv").write_text("filepath\ttitle\nharbor/1.png\ta\n")
    index = read(folder, CSV | {"file": "{split}-*.csv"})
    assert index.images[0].sentences == ("part 0", "part 1")
    assert [file.name for file in index.files] == ["train-0.csv", "train-1.csv", "test-0.csv"]
    with pytest.raises(DataError, match=r"has no train_\*\.csv among its 5 files \(2\.png, "):
        read(folder, CSV | {"file": "{split}_*.csv"})


@pytest.mark.parametrize(
    ("text", "changes", "words"),
    [
        ("filepath,title\n2.png,a\n", {}, r'no column \'filepath\'; it has: filepath,title; set layout.separator: ","'),
        ("image\ttitle\n2.png\ta\n", {}, "no column 'filepath'; it has: image, title; name the column"),
        ("filepath\ttitle\n2.png\ta\n", {"sentence": "text"}, "no column 'text'; it has: filepath, title"),
        ("", {}, "no column 'filepath'; it has: none"),
        ("title\tfilepath\ttitle\na\t2.png\tb\n", {}, "has the column 'title' 2 times"),
        ("filepath\ttitle\n2.png\ta\tb\n", {}, "line 2 has 3 cells, its header 2"),
        ("filepath\ttitle\n2.png\n", {}, "line 2 has 1 cells, its header 2"),
        ('filepath\ttitle\n2.png\t"a" b\n', {}, "line 2 is not CSV"),
        ('filepath\ttitle\n2.png\t"a\n2.png\tb\n', {}, "is not CSV .unexpected end of data"),
        ("filepath\ttitle\n2.png\ta\0b\n", {}, "cannot be stored"),
        ("filepath\ttitle\n2.png\tcaf\xe9\n", {}, "is not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_table_of_another_form_is_named_with_the_page_to_look_at(folder, text, changes, words):
    for split in ("train", "test"):
        (folder / f"{split}.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=words) as caught:
        read(folder, CSV | changes)
    assert str(caught.value).endswith(f"; see {LAYOUTS_PAGE}#csv for its smallest file")


def test_nwpus_sentences_are_in_the_order_of_their_numbers(folder):
    entry = {f"raw_{n}": f"sentence {n}" for n in (10, 2, 1)} | {"raw": "sentence 0", "raw_more": 7}
    entries = {
        "harbor": [entry | {"filename": "1.png", "split": "train"}],
        "lake": [entry | {"filename": "harbor/2.png", "split": "test"},
                 entry | {"filename": " ", "split": "test"}],
    }  # fmt: skip
    (folder / "dataset_nwpu.json").write_text(json.dumps(entries))
    index = read(folder, NWPU)
    assert index.images[0].sentences == tuple(f"sentence {n}" for n in (0, 1, 2, 10))
    assert [(i.name, i.path) for i in index.images] == [
        ("1", "harbor/1.png"),
        ("harbor/2", "harbor/2.png"),
    ]
    assert [s.location for s in index.unmatched] == ["dataset_nwpu.json lake image 2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "expected classes, each a list of images, found .*not the nwpu layout"),
        ('{"images": 3}', "expected classes"),
        ('{"lake": [{"filename": "2.png", "split": "train", "sentences": []}]}', "expected raw, raw_1, …, found only"),
        ('{"lake": [{"filename": "2.png", "raw": "a"}]}', "lake image 1: expected 'split' to be a str"),
        ('{"lake": [{"filename": "2.png", "split": "train", "raw": null}]}', "expected 'raw' to be a str, found null"),
        ('{"lake": [{"filename": "2.png", "split": "train", "raw": "a"}]}', "no image of split 'test'"),
        ('{"lake": [7]}', "lake image 1: expected 'split'"),
    ],
)  # fmt: skip
def test_a_json_that_is_not_nwpus_is_named_with_the_page_to_look_at(folder, text, words):
    (folder / "dataset_nwpu.json").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read(folder, NWPU)
    assert str(caught.value).endswith(f"see {LAYOUTS_PAGE}#nwpu for its smallest file")


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ({"kind": "karpathy", "file": "a.json"}, "has no a.json .*#karpathy"),
        ({"kind": "precomp", "sentences": "{split}.txt", "images": "{split}.t"}, "has no train.txt .*#precomp"),
        (CSV, r"has no train.csv .*#csv"),
        (NWPU, "has no dataset_nwpu.json .*#nwpu"),
        ({"kind": "parquet", "file": "{split}.parquet"}, "was not unpacked; run galr unpack.*#parquet"),
    ],
)  # fmt: skip
def test_a_missing_file_points_to_the_page(folder, layout, words):
    with pytest.raises(DataError, match=words):
        read(folder, layout)


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ({"kind": "coco"}, "layout.kind: 'coco' is not one of"),
        ({"kind": "csv"}, "layout lacks 'file'"),
        (CSV | {"caption": "x"}, "unknown key 'caption' in layout; known: file, image, kind"),
        (CSV | {"sentences": "x"}, r"did you mean 'sentence'\? docs/reference"),
        (CSV | {"separator": "::"}, "layout.separator"),
        ({"kind": "csv", "file": "all.csv"}, "put {split} into file where .*or name the column in split"),
        (CSV | {"split": "split"}, "not both"),
        ({"kind": "parquet", "file": "all.parquet"}, "layout.split is left out"),
        ({"kind": "webdataset", "shards": "all.tar"}, "layout.shards"),
        ({"kind": "webdataset", "shards": "{split}-{000..123}.tar"}, r"only {split} is replaced .*write \*"),
        ({"kind": "nwpu"}, "layout lacks 'file'"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_layout_points_to_the_page(folder, layout, words):
    with pytest.raises(ConfigError, match=words) as caught:
        spec(folder, layout)
    assert LAYOUTS_PAGE in str(caught.value)


@pytest.mark.parametrize(
    ("validation", "words"),
    [
        ({"share": 1.0}, "splits.val.share: 1.0"),
        ({"share": 0}, "splits.val.share"),
        ({"seed": 1}, "splits.val lacks 'share'"),
        ({"share": 0.1, "sead": 1}, "unknown key 'sead' in splits.val; did you mean 'seed'"),
        ("val", "splits.val: 'val' is not of type"),
    ],
)
def test_a_mistake_in_a_drawn_split_is_named(folder, validation, words):
    with pytest.raises(ConfigError, match=words):
        spec(folder, CSV, SPLITS | {"val": validation})


def entries(count, split="train"):
    return [ImageEntry(f"{n}", split, (f"{split} {n}",), f"{split}/{n}.png") for n in range(count)]


def test_the_same_seed_draws_the_same_images_whatever_their_order():
    images = entries(40) + entries(10, "test")
    drawn = DrawnValidation(0.25, 3)
    index = draw_validation(DatasetIndex(tuple(images), (), ()), drawn)
    assert [i.path for i in index.images] == [i.path for i in images]
    validation = {i.path for i in index.images if i.split == "val"}
    assert len(validation) == 10 and all(path.startswith("train/") for path in validation)
    random.Random(0).shuffle(images)
    shuffled = draw_validation(DatasetIndex(tuple(images), (), ()), drawn)
    assert {i.path for i in shuffled.images if i.split == "val"} == validation
    other = draw_validation(DatasetIndex(tuple(images), (), ()), replace(drawn, seed=4))
    assert {i.path for i in other.images if i.split == "val"} != validation


def test_all_sentences_of_an_image_are_drawn_with_it():
    repeated = [replace(image, sentences=("again",)) for image in entries(9)]
    index = draw_validation(DatasetIndex((*entries(9), *repeated), (), ()), DrawnValidation(0.34))
    for first, again in zip(index.images[:9], index.images[9:], strict=True):
        assert first.split == again.split
    assert sum(image.split == "val" for image in index.images) == 6


@pytest.mark.parametrize(("share", "count", "expected"), [(0.01, 5, 1), (0.99, 5, 4), (0.5, 2, 1)])
def test_neither_train_nor_validation_is_left_empty(share, count, expected):
    index = draw_validation(DatasetIndex(tuple(entries(count)), (), ()), DrawnValidation(share))
    assert sum(image.split == "val" for image in index.images) == expected


def test_one_train_image_cannot_be_split():
    with pytest.raises(DataError, match="1 train images cannot be split; expected at least 2"):
        draw_validation(DatasetIndex(tuple(entries(1)), (), ()), DrawnValidation(0.5))


def test_a_drawn_split_is_stored_and_kept_by_every_fold(folder):
    rows = []
    for number in range(6):
        Image.new("RGB", (32, 32), (40 * number, 0, 0)).save(folder / f"t{number}.png")
        rows += [f"t{number}.png\tsentence {n} of {number}" for n in range(2)]
    random.Random(1).shuffle(rows)
    (folder / "train.csv").write_text("\n".join(["filepath\ttitle", *rows]))
    (folder / "test.csv").write_text("filepath\ttitle\n2.png\ta\n")
    dataset = store(folder, CSV, SPLITS | {"val": {"share": 0.34, "seed": 5}})
    assert sorted(dataset["splits"]) == ["test", "train", "train", "train", "train", "val", "val"]
    provenance = Dataset.read_provenance(folder.with_name("dataset.h5"))
    assert provenance["drawn_validation"] == {"share": 0.34, "seed": 5}
    assert dataset["image_of_sentence"].tolist() == sorted([*range(7), *range(6)])
    folds = draw_folds(
        dataset["names"], dataset["splits"], num_folds=2, validation_fraction=0.5, seed=0
    )
    assert (folds["fold0"] == dataset["splits"]).all() and (folds["fold1"] == folds["fold0"]).all()
