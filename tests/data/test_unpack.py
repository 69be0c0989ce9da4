"""Images and sentences in Parquet tables and tar shards, unpacked into files."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from galr.__main__ import main
from galr.data.dataset_spec import LAYOUTS_PAGE, read_dataset_spec
from galr.data.extract import extract
from galr.data.unpack import unpack
from galr.errors import ConfigError, DataError

PARQUET = {"kind": "parquet", "file": "{split}-*.parquet"}
SHARDS = {"kind": "webdataset", "shards": "{split}-*.tar"}


def encoded(shade, kind="PNG"):
    """The bytes of an image file."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 0, 0)).save(file, kind)
    return file.getvalue()


def spec(tmp_path, layout, **splits):
    """The dataset file of a layout, as it was read back."""
    splits = {"train": ["train"], "val": [], "test": ["test"]} | splits
    document = {"title": "T", "licence": "L", "citation": "C", "folder": str(tmp_path / "packed")}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document | {"layout": layout, "splits": splits}))
    return read_dataset_spec(path)


@pytest.fixture
def packed(tmp_path):
    """An empty folder for tables or shards."""
    folder = tmp_path / "packed"
    folder.mkdir()
    return folder


def unpacked(folder, layout, limit_gb=1.0, **splits):
    """Unpack a folder; return its files, and path, split and sentences of its images."""
    output = folder.with_name("out")
    count = unpack(spec(folder.parent, layout, **splits), folder, output, limit_gb=limit_gb)
    images = json.loads((output / "captions.json").read_text("utf-8"))["images"]
    assert len(images) == count
    files = (file for file in output.rglob("*") if file.is_file() and file.name != "captions.json")
    return {file.relative_to(output).as_posix(): file.read_bytes() for file in files}, [
        (f"{i['filepath']}/{i['filename']}", i["split"], [s["raw"] for s in i["sentences"]])
        for i in images
    ]


def refused(folder, layout, words, limit_gb=1.0, **splits):
    """Check that unpacking fails with this message, points to the page and leaves nothing new."""
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(DataError, match=words) as caught:
        unpacked(folder, layout, limit_gb, **splits)
    assert str(caught.value).endswith(f"{LAYOUTS_PAGE}#{layout['kind']} for its smallest file")
    assert set(folder.parent.rglob("*")) <= {*before, folder.with_name("mine.yaml")}


def table(path, rows, kind=None):
    """Write a Parquet table of a row group for each two rows."""
    frame = pa.Table.from_pylist(rows, schema=kind)
    pq.write_table(frame, path, row_group_size=2)


def tables(folder, rows, test=None):
    """Write the same columns as the splits train and test."""
    table(folder / "train-00000-of-00001.parquet", rows)
    first = test or [row | {"image": encoded(250), "filename": "t.png"} for row in rows[:1]]
    table(folder / "test-00000-of-00001.parquet", first)


IMAGES = {
    "struct": lambda row: {"bytes": encoded(row), "path": None},
    "struct_with_path": lambda row: {"bytes": encoded(row), "path": f"/root/.cache/{row}.png"},
    "bytes": encoded,
    "path": lambda row: f"images/{row}.png",
    "struct_of_path": lambda row: {"bytes": None, "path": f"images/{row}.png"},
}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("text", [False, True])
def test_every_form_of_image_and_sentences_is_the_same_dataset(packed, kind, text):
    (packed / "data/images").mkdir(parents=True)
    for row in range(5):
        (packed / f"data/images/{row}.png").write_bytes(encoded(row))
    for split, numbers in (("train", range(4)), ("test", [4])):
        rows = [
            {"filename": f"{row}.png", "captions": "a" if text else ["a", f"b {row}"],
             "image": IMAGES[kind](row), "label": row}
            for row in numbers
        ]  # fmt: skip
        table(packed / f"data/{split}-00000-of-00001-0fe3.parquet", rows)
    files, images = unpacked(packed, PARQUET)
    assert files == {f"{'train' if r < 4 else 'test'}/{r}.png": encoded(r) for r in range(5)}
    assert [image[2] for image in images] == [["a"] if text else ["a", f"b {r}"] for r in range(5)]
    assert [image[1] for image in images] == ["train"] * 4 + ["test"]


def test_rows_of_one_image_become_one_entry(packed):
    rows = [
        {"filename": name, "captions": f"sentence {n}", "image": encoded(ord(name[0]))}
        for n, name in enumerate(["a.png", "b.png", "a.png", "b.png", "a.png"])
    ]
    tables(packed, rows)
    files, images = unpacked(packed, PARQUET)
    assert sorted(files) == ["test/t.png", "train/a.png", "train/b.png"]
    assert images[0][2] == ["sentence 0", "sentence 2", "sentence 4"]
    assert images[1][2] == ["sentence 1", "sentence 3"]


def test_an_image_in_two_splits_is_one_file_annotated_twice(packed):
    rows = [{"filename": "a.png", "captions": "x", "image": encoded(1)}]
    tables(packed, rows, test=rows)
    files, images = unpacked(packed, PARQUET)
    assert list(files) == ["train/a.png"]
    assert images == [("train/a.png", "train", ["x"]), ("train/a.png", "test", ["x"])]


def test_different_images_of_one_name_are_refused_and_can_be_numbered(packed):
    rows = [{"filename": "image.png", "captions": "x", "image": encoded(n)} for n in range(3)]
    tables(packed, rows)
    words = r"train-00000-of-00001.parquet row 2 and .* row 1 are different images of the name 'image.png'"
    refused(packed, PARQUET, words)
    files, _ = unpacked(packed, PARQUET | {"name": None})
    assert sorted(files) == ["test/0000001.png", *(f"train/000000{n}.png" for n in (1, 2, 3))]
    assert files["train/0000003.png"] == encoded(2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
def test_a_name_without_suffix_gets_that_of_its_format(packed, kind):
    rows = [{"id": 7, "captions": "x", "image": encoded(1, kind)}]
    tables(packed, rows, test=rows)
    suffix = {"JPEG": ".jpg", "TIFF": ".tif"}.get(kind, f".{kind.lower()}")
    assert list(unpacked(packed, PARQUET | {"name": "id"})[0]) == [f"train/7{suffix}"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../evil.png", "train/evil.png"),
        ("/etc/evil.png", "train/evil.png"),
        ("C:\\evil\\e.png", "train/e.png"),
        ("a\\b.png", "train/a/b.png"),
        ("..", "train/0000001.png"),
        (" ", "train/0000001.png"),
        (None, "train/0000001.png"),
        ("u\u0308.PNG", "train/ü.PNG"),
        ("a.v2", "train/a.v2.png"),
    ],
)
def test_no_name_leads_out_of_the_folder(packed, name, file):
    rows = [{"filename": name, "captions": "x", "image": encoded(1)}]
    tables(packed, rows, test=[row | {"filename": "t", "image": encoded(2)} for row in rows])
    assert sorted(unpacked(packed, PARQUET)[0]) == ["test/t.png", file]


def test_the_path_in_the_image_is_its_name_where_no_column_has_one(packed):
    rows = [
        {"captions": "x", "image": {"bytes": encoded(n), "path": p}}
        for n, p in enumerate(["a/x.png", None])
    ]
    tables(packed, rows, test=[{"captions": "x", "image": {"bytes": encoded(9), "path": "x.png"}}])
    assert sorted(unpacked(packed, PARQUET)[0]) == [
        "test/x.png",
        "train/0000002.png",
        "train/a/x.png",
    ]


def test_empty_cells_are_left_to_the_policies_of_data(packed):
    rows = [
        {"filename": "1.png", "captions": ["a", None], "image": encoded(1)},
        {"filename": "2.png", "captions": None, "image": encoded(2)},
        {"filename": "3.png", "captions": ["c"], "image": None},
        {"filename": "4.png", "captions": [], "image": encoded(4)},
    ]
    tables(packed, rows)
    files, images = unpacked(packed, PARQUET)
    assert [image[2] for image in images[:4]] == [["a", ""], [""], ["c"], []]
    assert "train/3.png" not in files


def test_a_column_of_splits_is_checked(packed):
    rows = [
        {"text": "a", "pixels": encoded(n), "part": part, "key": f"{n}"}
        for n, part in enumerate(["fit", "eval", "fit", "extra"])
    ]
    table(packed / "all.parquet", rows)
    layout = {"kind": "parquet", "file": "all.parquet", "image": "pixels", "sentences": "text",
              "name": "key", "split": "part"}  # fmt: skip
    splits = {"train": ["fit"], "test": ["eval"]}
    refused(packed, layout, "1 images of split 'extra'", **splits)
    refused(packed, layout, "no image of split 'rest'", **splits, unused=["extra", "rest"])
    files, _ = unpacked(packed, layout, **splits, unused=["extra"])
    assert sorted(files) == ["eval/1.png", "fit/0.png", "fit/2.png"]
    table(packed / "all.parquet", [rows[0] | {"part": None}, *rows])
    refused(packed, layout, "all.parquet row 1: its 'part' is blank", **splits, unused=["extra"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sentences": "caption"}, "no column 'caption'; it has: filename, captions, image, label; name the"),
        ({"image": "img"}, "no column 'img'"),
        ({"name": "file_name"}, "no column 'file_name'"),
        ({"image": "label"}, "column 'label' is int64, expected bytes, a path, or {bytes, path}"),
        ({"sentences": "label"}, "column 'label' is int64, expected text or a list of text"),
        ({"image": "captions"}, r"column 'captions' is list<.*expected bytes"),
        ({"sentences": "image"}, r"column 'image' is binary, expected text"),
        ({"file": "{split}.parquet"}, "has no train.parquet"),
        ({"file": "{split}_*.parquet"}, r"has no train_\*.parquet among its 2 files \(test-00000"),
    ],
)  # fmt: skip
def test_a_wrong_name_says_what_there_is(packed, changes, words):
    tables(packed, [{"filename": "a.png", "captions": ["x"], "image": encoded(1), "label": 3}])
    refused(packed, PARQUET | changes, words)


@pytest.mark.parametrize("damage", ["cut", "flipped", "text"])
def test_a_damaged_table_is_named(packed, damage):
    rng = np.random.default_rng(0)
    rows = [{"filename": f"{n}", "captions": ["x"], "image": rng.bytes(4000)} for n in range(9)]
    tables(packed, rows)
    path = packed / "train-00000-of-00001.parquet"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[10:60] = bytes(50)
    path.write_bytes({"cut": content[:-9], "flipped": content, "text": b"version https://"}[damage])
    refused(packed, PARQUET, "train-00000-of-00001.parquet is damaged .*download it again")


def test_no_more_is_written_than_the_limit(packed):
    tables(
        packed, [{"filename": f"{n}.png", "captions": ["x"], "image": encoded(n)} for n in range(9)]
    )
    refused(packed, PARQUET, "limit of 1e-06 GB", limit_gb=1e-6)


def test_an_older_folder_stays_where_unpacking_fails(packed):
    tables(packed, [{"filename": "a.png", "captions": ["x"], "image": encoded(1)}])
    before = unpacked(packed, PARQUET)
    (packed / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(DataError, match=r"has no test-\*.parquet"):
        unpacked(packed, PARQUET)
    assert (packed.with_name("out") / "train/a.png").read_bytes() == before[0]["train/a.png"]


def test_a_dataset_of_image_files_is_not_unpacked(packed):
    layout = {"kind": "csv", "file": "{split}.csv"}
    with pytest.raises(ConfigError, match="has the layout csv, which is read in place"):
        unpacked(packed, layout)


def shard(path, members):
    """Write a tar of some files, in this order."""
    with tarfile.open(path, f"w:{path.suffix.removeprefix('.').replace('tar', '')}") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            content = content if isinstance(content, bytes) else content.encode()
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


SAMPLES = {
    "./000.json": '{"captions": ["a", "b"], "url": "x"}',
    "000.JPG": encoded(1, "JPEG"),
    "001.jpg": encoded(2, "JPEG"),
    "sub/002.seg.png": encoded(3),
    "001.txt": "\ufeffone\r\n\r\ntwo\n",
    "sub/002.json": '{"caption": "c"}',
    "._000.jpg": "junk",
    "004.json": '{"caption": null}',
    "000.txt": "not these",
    "readme": "",
}
SENTENCES = {
    "train/train-0/000.jpg": ["a", "b"],
    "train/train-0/001.jpg": ["one", "two"],
    "train/train-0/sub/002.png": ["c"],
    "train/train-0/004.jpg": [],
    "test/test-0/000.png": ["t"],
}


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "extracted"])
def test_files_of_one_key_are_one_sample(packed, suffix):
    name = "tar" if suffix == "extracted" else suffix
    shards = [
        shard(packed / f"train-0.{name}", SAMPLES),
        shard(packed / f"test-0.{name}", {"000.png": encoded(9), "000.txt": "t"}),
    ]
    if suffix == "extracted":  # as the rule `extract` leaves shards that came as archives
        extract(shards, packed / "files", limit_gb=1)
        for path in shards:
            path.unlink()
    files, images = unpacked(packed, SHARDS | {"shards": f"{{split}}-*.{name}"})
    assert {path: sentences for path, _, sentences in images} == SENTENCES
    assert set(files) == SENTENCES.keys() - {"train/train-0/004.jpg"}
    assert files["train/train-0/000.jpg"] == encoded(1, "JPEG")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"1.jpg": "", "1.png": "", "1.txt": "a"}, "train-0.tar 1 has two images"),
        ({"1.jpg": "", "1.json": '{"text": "a", "url": "b"}'}, "its JSON has no captions or caption; it has: text, url"),
        ({"1.jpg": "", "1.json": "{"}, "train-0.tar 1: its JSON or text cannot be read"),
        ({"1.jpg": "", "1.txt": b"caf\xe9"}, "its JSON or text cannot be read"),
        ({"1.jpg": "", "1.json": '{"caption": 3}'}, "expected 'caption' to be text or a list of text, found 3"),
        ({"1.jpg": "", "1.json": '{"captions": ["a", null]}'}, "expected 'captions' to be"),
        ({"1.jpg": "", "1.txt": "a\0"}, "cannot be stored"),
        ({"../1.jpg": "", "../1.txt": "a"}, "leads out of the folder"),
    ],
)  # fmt: skip
def test_a_shard_of_another_form_is_named(packed, members, words):
    shard(packed / "train-0.tar", members)
    shard(packed / "test-0.tar", {"000.png": encoded(9), "000.txt": "t"})
    refused(packed, SHARDS, words)


def test_the_key_of_the_sentences_can_be_named(packed):
    for split in ("train", "test"):
        members = {"1.jpg": encoded(1), "1.json": '{"caption": "x", "long": "y"}'}
        shard(packed / f"{split}-0.tar", members)
    _, images = unpacked(packed, SHARDS | {"sentences": "long"})
    assert [sentences for _, _, sentences in images] == [["y"], ["y"]]
    refused(packed, SHARDS | {"sentences": "short"}, "its JSON has no short; it has: caption, long")


@pytest.mark.parametrize("length", [700, 1024, 1500])
def test_a_damaged_shard_is_named(packed, length):
    shard(packed / "test-0.tar", {"000.png": encoded(9), "000.txt": "t"})
    path = shard(packed / "train-0.tar", {"1.jpg": b"x" * 512, "1.txt": "a", "2.jpg": b"y"})
    path.write_bytes(path.read_bytes()[:length])
    refused(packed, SHARDS, "train-0.tar is damaged .*download it again")


def test_the_command_lists_the_files_of_the_folder(packed, capsys):
    tables(packed, [{"filename": "a.png", "captions": ["x"], "image": encoded(1)}])
    spec(packed.parent, PARQUET)
    words = ["unpack", "--dataset", f"{packed.parent}/mine.yaml", "--folder", str(packed)]
    words += ["--output", f"{packed.parent}/out", "--listing", f"{packed.parent}/files.csv"]
    assert main([*words, "--unpack-limit-gb", "0"]) == 2
    assert "data.unpack_limit_gb must be above 0" in capsys.readouterr().err
    assert main([*words, "--unpack-limit-gb", "1"]) == 0
    assert "mine: 2 images unpacked into" in capsys.readouterr().err
    listed = pd.read_csv(packed.parent / "files.csv")["file"]
    assert listed.tolist() == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
    assert Path(packed.parent / "out/captions.json").exists()
