from pathlib import Path

import pytest
import yaml

from galr.config import SCHEMAS
from galr.data.dataset_spec import (
    AUTO_NAME,
    Archive,
    CsvLayout,
    DrawnValidation,
    KarpathyLayout,
    NwpuLayout,
    ParquetLayout,
    PrecompLayout,
    SyntheticSpec,
    WebDatasetLayout,
    read_dataset_spec,
)
from galr.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "config/datasets"
MINIMAL = {
    "title": "T",
    "licence": "L",
    "citation": "C",
    "folder": "images",
    "layout": {"kind": "karpathy", "file": "dataset.json"},
    "splits": {"train": ["train"], "val": [], "test": ["test"]},
}
ZIP = {"file": "a.zip", "urls": ["https://example.org/a.zip"], "sha256": None}


def written(tmp_path, **changes):
    document = {k: v for k, v in (MINIMAL | changes).items() if v is not ...}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document), "utf-8")
    return path


@pytest.mark.parametrize("name", ["demo", "rsicd", "rsitmd", "sydney", "ucm"])
def test_shipped_dataset_files_have_the_published_numbers(name):
    images = {"demo": 400, "rsicd": 10921, "rsitmd": 4743, "sydney": 613, "ucm": 2100}
    dataset = read_dataset_spec(SHIPPED / f"{name}.yaml")
    assert (dataset.name, dataset.num_images, dataset.sentences_per_image) == (
        name,
        images[name],
        5,
    )
    assert bool(dataset.archives) != bool(dataset.synthetic)


def test_the_published_split_files_have_hashes():
    for name in ("rsicd", "rsitmd"):
        pinned = {a.file: a.sha256 for a in read_dataset_spec(SHIPPED / f"{name}.yaml").archives}
        texts = {f"{s}_{w}.txt" for s in ("train", "test") for w in ("caps", "filename")}
        assert {file for file, sha256 in pinned.items() if sha256} == texts


def test_every_key_of_a_dataset_file_is_read(tmp_path):
    dataset = read_dataset_spec(
        written(
            tmp_path,
            folder=...,
            archives=[ZIP],
            layout={"kind": "precomp", "sentences": "{split}_caps.txt", "images": "{split}.txt"},
            splits={"train": ["a", "b"], "val": ["v"], "test": ["t"], "unused": ["rest"]},
        )
    )
    assert dataset.archives == (Archive("a.zip", ("https://example.org/a.zip",), None),)
    assert dataset.archive("a.zip") is dataset.archives[0]
    assert dataset.layout == PrecompLayout("{split}_caps.txt", "{split}.txt")
    assert dataset.splits == {"train": ("a", "b"), "val": ("v",), "test": ("t",)}
    assert (dataset.unused, dataset.folder, dataset.synthetic) == (("rest",), None, None)
    with pytest.raises(ConfigError, match=r"no archive 'b.zip'; it has: a.zip"):
        dataset.archive("b.zip")


def test_a_folder_or_synthetic_images_replace_archives(tmp_path):
    assert read_dataset_spec(written(tmp_path)).folder == Path("images")
    synthetic = {"images": 9, "size": 64, "sentences": 3, "seed": 1}
    dataset = read_dataset_spec(written(tmp_path, folder=..., synthetic=synthetic))
    assert dataset.synthetic == SyntheticSpec(9, 64, 3, 1)
    layout = {"kind": "karpathy", "file": ["a.json", "b.json"]}
    assert read_dataset_spec(written(tmp_path, layout=layout)).layout == KarpathyLayout(
        ("a.json", "b.json")
    )


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ({"kind": "csv", "file": "{split}.csv"}, CsvLayout("{split}.csv", "filepath", "title", None, "\t")),
        ({"kind": "csv", "file": "a.csv", "image": "i", "sentence": "s", "split": "p", "separator": ";"},
         CsvLayout("a.csv", "i", "s", "p", ";")),
        ({"kind": "csv", "file": "{split}.csv", "separator": r"\t"}, CsvLayout("{split}.csv")),
        ({"kind": "parquet", "file": "{split}.parquet"}, ParquetLayout("{split}.parquet", "image", "captions", AUTO_NAME, None)),
        ({"kind": "parquet", "file": "a", "image": "i", "sentences": "s", "name": None, "split": "p"},
         ParquetLayout("a", "i", "s", None, "p")),
        ({"kind": "webdataset", "shards": "{split}-*.tar"}, WebDatasetLayout("{split}-*.tar", None)),
        ({"kind": "webdataset", "shards": "{split}.tar", "sentences": "s"}, WebDatasetLayout("{split}.tar", "s")),
        ({"kind": "nwpu", "file": "a.json"}, NwpuLayout(("a.json",))),
    ],
)  # fmt: skip
def test_every_key_of_a_layout_is_read(tmp_path, layout, expected):
    dataset = read_dataset_spec(written(tmp_path, layout=layout))
    assert dataset.layout == expected
    assert dataset.is_packed == (layout["kind"] in ("parquet", "webdataset"))


def test_a_validation_split_may_be_drawn(tmp_path):
    splits = MINIMAL["splits"] | {"val": {"share": 0.1, "seed": 3}}
    dataset = read_dataset_spec(written(tmp_path, splits=splits))
    assert dataset.drawn_validation == DrawnValidation(0.1, 3)
    assert dataset.splits == {"train": ("train",), "val": (), "test": ("test",)}
    splits["val"] = {"share": 0.5}
    assert read_dataset_spec(written(tmp_path, splits=splits)).drawn_validation.seed == 0
    assert read_dataset_spec(written(tmp_path)).drawn_validation is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"title": ...}, "lacks 'title'"),
        ({"titel": "T"}, "unknown key 'titel'.*did you mean 'title'"),
        ({"archives": [ZIP]}, "has archives and folder; give exactly one"),
        ({"folder": ...}, "neither archives, folder nor synthetic"),
        (
            {"folder": ..., "synthetic": {"images": 9, "size": 32, "sentences": 3, "seed": 1}},
            "synthetic.size: 32 is less than the minimum of 64",
        ),
        ({"folder": ..., "archives": [ZIP, ZIP]}, "archive 'a.zip' twice"),
        ({"folder": ..., "archives": [ZIP | {"sha256": "ABC"}]}, "sha256.*64 small hexadecimal"),
        ({"folder": ..., "archives": [ZIP | {"file": "../a.zip"}]}, "plain file name"),
        ({"folder": ..., "archives": [ZIP | {"file": "a{b}.zip"}]}, "plain file name"),
        ({"folder": ..., "archives": [ZIP | {"urls": ["ftp://x"]}]}, "http, https or file"),
        ({"layout": {"kind": "coco", "file": "x"}}, "karpathy .* or nwpu"),
        ({"layout": {"kind": "precomp", "images": "{split}"}}, "lacks 'sentences'"),
        ({"layout": {"kind": "precomp", "images": "x", "sentences": "{split}"}}, "images"),
        ({"splits": {"train": [], "val": [], "test": ["t"]}}, "splits.train"),
        ({"splits": {"train": ["t"], "val": [], "test": ["t"]}}, "split 't' twice"),
        ({"sentences_per_image": 0}, "sentences_per_image"),
    ],
)
def test_an_error_is_named(tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words):
        read_dataset_spec(written(tmp_path, **changes))


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_of_a_schema_has_a_description(path):
    def silent(node, where):
        for key, value in node.get("properties", {}).items():
            if "description" not in value:
                yield f"{where}.{key}"
            yield from silent(value, f"{where}.{key}")
        for deeper in {"items", "then", "else"} & node.keys():
            yield from silent(node[deeper], where)
        for part in node.get("allOf", ()):
            yield from silent(part, where)

    assert list(silent(yaml.safe_load(path.read_text("utf-8")), path.stem)) == []
