"""From archives to dataset.h5 through the command line, as the workflow calls it."""

import csv
import hashlib
import json
import zipfile

import numpy as np
import pytest
import yaml
from PIL import Image

from galr.__main__ import main
from galr.data.validate import PROBLEM_KINDS
from galr.io.formats import Dataset
from galr.io.images import load_resized

SIZE = 16


def picture(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (20 + seed, 30, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def house(tmp_path):
    """A folder of four pictures, their sentences, and the dataset file that speaks of them."""
    files = tmp_path / "resources/mine/files"
    (files / "pictures").mkdir(parents=True)
    images = []
    for seed, (name, split) in enumerate(
        [("b.png", "train"), ("a.png", "test"), ("ü 1.png", "train"), ("d.png", "test")]
    ):
        picture(seed).save(files / "pictures" / name)
        sentences = [{"raw": f"{name} sentence {n} 飞机 ."} for n in range(seed + 1)]
        images.append({"filename": name, "split": split, "sentences": sentences})
    (files / "dataset.json").write_text(json.dumps({"images": images}), "utf-8")
    document = {
        "title": "Mine",
        "licence": "mine",
        "citation": "me",
        "folder": str(files),
        "layout": {"kind": "karpathy", "file": "dataset.json"},
        "splits": {"train": ["train"], "val": [], "test": ["test"]},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(document), "utf-8")
    return tmp_path


def run(house, size=SIZE, **policies):
    flags = {kind.replace("_", "-"): policies.get(kind, "error") for kind in PROBLEM_KINDS}
    return main(
        [
            *("data", "--dataset", f"{house}/mine.yaml", "--size", str(size)),
            *("--folder", f"{house}/resources/mine/files"),
            *(word for kind, policy in flags.items() for word in (f"--{kind}", policy)),
            *("--output", f"{house}/dataset.h5", "--report", f"{house}/data_report.csv"),
        ]
    )


def stored(house):
    with Dataset.open(house / "dataset.h5") as file:
        texts = {t: getattr(file, t) for t in ("names", "files", "splits", "sentences")}
        return texts | file.arrays() | {"chunks": file.images.chunks, "origin": file.provenance}


def decoded_alone(house, files):
    folder = house / "resources/mine/files"
    return np.stack([load_resized(folder / file, SIZE).pixels for file in files])


def report(house):
    with (house / "data_report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_dataset_is_stored_unchanged(house, capsys):
    assert run(house) == 0
    found = stored(house)
    assert found["names"] == ["b", "a", "ü 1", "d"]
    assert found["splits"] == ["train", "test", "train", "test"]
    assert found["files"] == [f"pictures/{name}.png" for name in found["names"]]
    assert found["sizes"].tolist() == [[30, 20], [30, 21], [30, 22], [30, 23]]
    assert found["image_of_sentence"].tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert found["sentences"][3] == "ü 1.png sentence 0 飞机 ."
    assert found["chunks"] == (1, SIZE, SIZE, 3)
    assert (found["images"] == decoded_alone(house, found["files"])).all()
    assert report(house) == [["item", "kind", "reason"]]
    assert "4 images (2 train, 2 test), 10 sentences; dropped: nothing" in capsys.readouterr().err


def test_provenance_has_names_hashes_and_versions(house):
    listing = (house / "resources/mine/files/dataset.json").read_bytes()
    assert run(house) == 0
    found = stored(house)
    origin = found["origin"]
    assert (origin["dataset"], origin["title"], origin["size"]) == ("mine", "Mine", SIZE)
    assert origin["sources"] == {"dataset.json": hashlib.sha256(listing).hexdigest()}
    assert origin["images_sha256"] == hashlib.sha256(found["images"].tobytes()).hexdigest()
    spoken = "".join(f"{sentence}\0" for sentence in found["sentences"]).encode()
    assert origin["sentences_sha256"] == hashlib.sha256(spoken).hexdigest()
    assert {"python", "galr", "h5py"} <= origin["versions"].keys()


def test_a_damaged_image_is_an_error_or_dropped_with_its_sentences(house, capsys):
    broken = house / "resources/mine/files/pictures/ü 1.png"
    broken.write_bytes(broken.read_bytes()[:300])
    assert run(house) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("galr: DataError: ü 1: ")
    assert "(corrupt_image, 1 in all)" in line
    assert not (house / "dataset.h5").exists()
    assert run(house, corrupt_image="drop") == 0
    found = stored(house)
    assert found["names"] == ["b", "a", "d"]
    assert (found["images"] == decoded_alone(house, found["files"])).all()
    assert found["sizes"].tolist() == [[30, 20], [30, 21], [30, 23]]
    assert found["image_of_sentence"].tolist() == [0, 1, 1, 2, 2, 2, 2]
    (_, row) = report(house)
    assert row[:2] == ["ü 1", "corrupt_image"]
    assert "truncated" in row[2]


def test_an_error_leaves_the_older_result(house):
    assert run(house) == 0
    before = (house / "dataset.h5").read_bytes()
    (house / "resources/mine/files/pictures/d.png").unlink()
    assert run(house) == 2
    assert (house / "dataset.h5").read_bytes() == before
    assert sorted(p.name for p in house.iterdir()) == [
        "data_report.csv",
        "dataset.h5",
        "mine.yaml",
        "resources",
    ]


@pytest.mark.parametrize("damage", [bytes, None])
def test_an_empty_split_is_an_error(house, capsys, damage):
    for name in ("a.png", "d.png"):
        file = house / "resources/mine/files/pictures" / name
        file.write_bytes(b"") if damage else file.unlink()
    assert run(house, missing_image="drop", corrupt_image="drop") == 2
    assert "no image is left in the test split" in capsys.readouterr().err


def test_a_size_of_zero_is_an_error(house, capsys):
    assert run(house, size=0) == 2
    assert "data.size is in pixels" in capsys.readouterr().err


def test_download_extract_and_data_follow_each_other(house, capsys):
    files = house / "resources/mine/files"
    (house / "mirror").mkdir()
    with zipfile.ZipFile(house / "mirror/mine.zip", "w") as archive:
        for file in sorted(files.rglob("*.*")):
            archive.write(file, file.relative_to(files))
    document = yaml.safe_load((house / "mine.yaml").read_text("utf-8"))
    del document["folder"]
    document["archives"] = [{"file": "mine.zip", "urls": [], "sha256": None}]
    (house / "mine.yaml").write_text(yaml.safe_dump(document), "utf-8")
    archive = house / "resources/mine/archives/mine.zip"
    fetch = [
        *("download", "--dataset", f"{house}/mine.yaml", "--archive", "mine.zip"),
        *("--sums", f"{house}/resources/mine/SHA256SUMS", "--output", str(archive)),
    ]
    assert main([*fetch, "--mirror", "none"]) == 2
    assert "mirror/mine.zip" in capsys.readouterr().err
    assert main([*fetch, "--mirror", f"{house}/mirror"]) == 0
    flags = ["--archives", str(archive), "--output", str(files)]
    assert main(["extract", *flags, "--unpack-limit-gb", "0"]) == 2
    assert main(["extract", *flags, "--unpack-limit-gb", "0.1"]) == 0
    assert run(house) == 0
    sources = stored(house)["origin"]["sources"]
    assert sources["mine.zip"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert set(sources) == {"mine.zip", "mine/dataset.json"}


@pytest.mark.parametrize("stage", ["download", "extract", "data"])
def test_help_names_inputs_and_outputs(stage, capsys):
    with pytest.raises(SystemExit) as caught:
        main([stage, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "IN   " in text
    assert "OUT  " in text


def test_the_files_of_an_own_folder_are_listed_and_a_changed_one_is_named(house, capsys):
    def run_with_listing():
        words = ("data", "--dataset", f"{house}/mine.yaml", "--size", str(SIZE))
        policies = (
            word for kind in PROBLEM_KINDS for word in (f"--{kind.replace('_', '-')}", "error")
        )
        files = ("--output", f"{house}/dataset.h5", "--report", f"{house}/data_report.csv")
        listing = ("--listing", f"{house}/files.csv")
        folder = ("--folder", f"{house}/resources/mine/files")
        assert main([*words, *policies, *files, *listing, *folder]) == 0
        return Dataset.read_provenance(house / "dataset.h5")[
            "listing_sha256"
        ], capsys.readouterr().err

    before, document = run_with_listing()
    assert "changed" not in document
    assert run_with_listing() == (before, document)
    picture(9).save(house / "resources/mine/files/pictures/a.png")
    after, document = run_with_listing()
    assert after != before
    assert "changed in" in document and "pictures/a.png (changed)" in document
    assert (house / "files.csv").read_text().count("\n") == 6
