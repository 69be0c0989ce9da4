"""From archives to dataset.h5 by the command line."""

import csv
import hashlib
import json
import re
import resource
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import yaml
from PIL import Image

from galr.__main__ import main
from galr.data.validate import PROBLEM_KINDS
from galr.io.formats import Dataset
from galr.io.images import load_resized

SIZE = 16


def random_image(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (20 + seed, 30, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def workspace(tmp_path):
    """A folder of four images, their sentences, and the dataset file."""
    files = tmp_path / "resources/mine/files"
    (files / "images").mkdir(parents=True)
    images = []
    for seed, (name, split) in enumerate(
        [("b.png", "train"), ("a.png", "test"), ("ü 1.png", "train"), ("d.png", "test")]
    ):
        random_image(seed).save(files / "images" / name)
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


def run(workspace, size=SIZE, **policies):
    flags = {kind.replace("_", "-"): policies.get(kind, "error") for kind in PROBLEM_KINDS}
    return main(
        [
            *("data", "--dataset", f"{workspace}/mine.yaml", "--size", str(size)),
            *("--folder", f"{workspace}/resources/mine/files"),
            *(word for kind, policy in flags.items() for word in (f"--{kind}", policy)),
            *("--output", f"{workspace}/dataset.h5", "--report", f"{workspace}/data_report.csv"),
        ]
    )


def stored(workspace):
    with Dataset.open(workspace / "dataset.h5") as file:
        texts = {t: getattr(file, t) for t in ("names", "files", "splits", "sentences")}
        return texts | file.arrays() | {"chunks": file.images.chunks, "provenance": file.provenance}


def decoded_alone(workspace, files):
    folder = workspace / "resources/mine/files"
    return np.stack([load_resized(folder / file, SIZE).pixels for file in files])


def report(workspace):
    with (workspace / "data_report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_dataset_is_stored_unchanged(workspace, capsys):
    assert run(workspace) == 0
    dataset = stored(workspace)
    assert dataset["names"] == ["b", "a", "ü 1", "d"]
    assert dataset["splits"] == ["train", "test", "train", "test"]
    assert dataset["files"] == [f"images/{name}.png" for name in dataset["names"]]
    assert dataset["sizes"].tolist() == [[30, 20], [30, 21], [30, 22], [30, 23]]
    assert dataset["image_of_sentence"].tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert dataset["sentences"][3] == "ü 1.png sentence 0 飞机 ."
    assert dataset["chunks"] == (1, SIZE, SIZE, 3)
    assert (dataset["images"] == decoded_alone(workspace, dataset["files"])).all()
    assert report(workspace) == [["item", "kind", "reason"]]
    assert "4 images (2 train, 2 test), 10 sentences; dropped: nothing" in capsys.readouterr().err


def test_images_of_one_stem_are_stored_under_their_paths(workspace):
    files = workspace / "resources/mine/files"
    images = []
    for seed, (folder, name, split) in enumerate(
        [("harbour", "0.png", "train"), ("airport", "0.png", "test"), ("airport", "1.png", "test")]
    ):
        (files / folder).mkdir(exist_ok=True)
        random_image(seed).save(files / folder / name.upper())
        sentence = {"raw": f"{folder} {name}", "imgid": seed}
        images.append(
            {"filepath": folder, "filename": name, "split": split, "sentences": [sentence]}
        )
    (files / "dataset.json").write_text(json.dumps({"images": images}), "utf-8")
    assert run(workspace) == 0
    dataset = stored(workspace)
    assert dataset["names"] == ["harbour/0.png", "airport/0.png", "1"]
    assert dataset["files"] == ["harbour/0.PNG", "airport/0.PNG", "airport/1.PNG"]
    assert dataset["sentences"] == ["harbour 0.png", "airport 0.png", "airport 1.png"]
    assert (dataset["images"] == decoded_alone(workspace, dataset["files"])).all()


def test_provenance_has_names_hashes_and_versions(workspace):
    listing = (workspace / "resources/mine/files/dataset.json").read_bytes()
    assert run(workspace) == 0
    dataset = stored(workspace)
    provenance = dataset["provenance"]
    assert (provenance["dataset"], provenance["title"], provenance["size"]) == (
        "mine",
        "Mine",
        SIZE,
    )
    assert provenance["sources"] == {"dataset.json": hashlib.sha256(listing).hexdigest()}
    assert provenance["images_sha256"] == hashlib.sha256(dataset["images"].tobytes()).hexdigest()
    sentences = "".join(f"{sentence}\0" for sentence in dataset["sentences"]).encode()
    assert provenance["sentences_sha256"] == hashlib.sha256(sentences).hexdigest()
    assert {"python", "galr", "h5py"} <= provenance["versions"].keys()


def test_a_damaged_image_is_an_error_or_dropped_with_its_sentences(workspace, capsys):
    broken = workspace / "resources/mine/files/images/ü 1.png"
    broken.write_bytes(broken.read_bytes()[:300])
    assert run(workspace) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("galr: DataError: ü 1: ")
    assert "(corrupt_image, 1 in all)" in line
    assert not (workspace / "dataset.h5").exists()
    assert run(workspace, corrupt_image="drop") == 0
    dataset = stored(workspace)
    assert dataset["names"] == ["b", "a", "d"]
    assert (dataset["images"] == decoded_alone(workspace, dataset["files"])).all()
    assert dataset["sizes"].tolist() == [[30, 20], [30, 21], [30, 23]]
    assert dataset["image_of_sentence"].tolist() == [0, 1, 1, 2, 2, 2, 2]
    (_, row) = report(workspace)
    assert row[:2] == ["ü 1", "corrupt_image"]
    assert "truncated" in row[2]


def test_an_error_leaves_the_older_result(workspace):
    assert run(workspace) == 0
    before = (workspace / "dataset.h5").read_bytes()
    (workspace / "resources/mine/files/images/d.png").unlink()
    assert run(workspace) == 2
    assert (workspace / "dataset.h5").read_bytes() == before
    assert sorted(p.name for p in workspace.iterdir()) == [
        "data_report.csv",
        "dataset.h5",
        "mine.yaml",
        "resources",
    ]


def test_a_full_disk_is_one_line_and_leaves_the_older_result(workspace, capsys):
    assert run(workspace) == 0
    before = (workspace / "dataset.h5").read_bytes()
    capsys.readouterr()
    old, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        assert run(workspace) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old, hard))
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"galr: OutputError: {workspace}/dataset.h5 cannot be written (File too large);"
        " choose another output"
    )
    assert (workspace / "dataset.h5").read_bytes() == before


@pytest.mark.parametrize("damage", [bytes, None])
def test_an_empty_split_is_an_error(workspace, capsys, damage):
    for name in ("a.png", "d.png"):
        file = workspace / "resources/mine/files/images" / name
        file.write_bytes(b"") if damage else file.unlink()
    assert run(workspace, missing_image="drop", corrupt_image="drop") == 2
    assert "no image is left in the test split" in capsys.readouterr().err


def test_a_size_of_zero_is_an_error(workspace, capsys):
    assert run(workspace, size=0) == 2
    assert "data.size is in pixels" in capsys.readouterr().err


def test_download_extract_and_data_follow_each_other(workspace, capsys):
    files = workspace / "resources/mine/files"
    (workspace / "mirror").mkdir()
    with zipfile.ZipFile(workspace / "mirror/mine.zip", "w") as archive:
        for file in sorted(files.rglob("*.*")):
            archive.write(file, file.relative_to(files))
    document = yaml.safe_load((workspace / "mine.yaml").read_text("utf-8"))
    del document["folder"]
    document["archives"] = [{"file": "mine.zip", "urls": [], "sha256": None}]
    (workspace / "mine.yaml").write_text(yaml.safe_dump(document), "utf-8")
    archive = workspace / "resources/mine/archives/mine.zip"
    fetch = [
        *("download", "--dataset", f"{workspace}/mine.yaml", "--archive", "mine.zip"),
        *("--sums", f"{workspace}/resources/mine/SHA256SUMS", "--output", str(archive)),
    ]
    assert main([*fetch, "--mirror", "none"]) == 2
    assert "mirror/mine.zip" in capsys.readouterr().err
    assert main([*fetch, "--mirror", f"{workspace}/mirror"]) == 0
    flags = ["--archives", str(archive), "--output", str(files)]
    assert main(["extract", *flags, "--unpack-limit-gb", "0"]) == 2
    assert main(["extract", *flags, "--unpack-limit-gb", "0.1"]) == 0
    assert run(workspace) == 0
    sources = stored(workspace)["provenance"]["sources"]
    assert sources["mine.zip"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert set(sources) == {"mine.zip", "mine/dataset.json"}


@pytest.mark.parametrize("command", ["download", "extract", "data"])
def test_help_names_inputs_and_outputs(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "IN   " in text
    assert "OUT  " in text


def test_the_files_of_an_own_folder_are_listed_and_a_changed_one_is_named(workspace, capsys):
    def run_with_listing():
        words = ("data", "--dataset", f"{workspace}/mine.yaml", "--size", str(SIZE))
        policies = (
            word for kind in PROBLEM_KINDS for word in (f"--{kind.replace('_', '-')}", "error")
        )
        files = ("--output", f"{workspace}/dataset.h5", "--report", f"{workspace}/data_report.csv")
        listing = ("--listing", f"{workspace}/files.csv")
        folder = ("--folder", f"{workspace}/resources/mine/files")
        assert main([*words, *policies, *files, *listing, *folder]) == 0
        return Dataset.read_provenance(workspace / "dataset.h5")[
            "listing_sha256"
        ], capsys.readouterr().err

    before, output = run_with_listing()
    assert "changed" not in output
    assert run_with_listing() == (before, output)
    random_image(9).save(workspace / "resources/mine/files/images/a.png")
    after, output = run_with_listing()
    assert after != before
    assert "changed in" in output and "images/a.png (changed)" in output
    assert (workspace / "files.csv").read_text().count("\n") == 6


def write_scene(path, bands, **options):
    profile = {"driver": "GTiff", "count": len(bands), "dtype": bands.dtype}
    profile |= {"height": bands.shape[1], "width": bands.shape[2], "crs": "EPSG:32633"}
    profile |= {"transform": rasterio.Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(path, "w", **profile | options) as file:
        file.write(bands)


def add_scenes(workspace, **keys):
    """Replace two images by scenes of four 12-bit bands, one with its bands one after another; keys of the dataset file."""
    files = workspace / "resources/mine/files"
    bands = np.random.default_rng(0).integers(0, 4096, (4, SIZE, SIZE)).astype(np.uint16)
    for name, interleave in (("a", "pixel"), ("b", "band")):
        (files / f"images/{name}.png").unlink()
        write_scene(files / f"images/{name}.tif", bands, interleave=interleave)
    document = json.loads((files / "dataset.json").read_text("utf-8"))
    for image in document["images"]:
        image["filename"] = image["filename"].replace("a.png", "a.tif").replace("b.png", "b.tif")
    (files / "dataset.json").write_text(json.dumps(document), "utf-8")
    spec = yaml.safe_load((workspace / "mine.yaml").read_text("utf-8"))
    (workspace / "mine.yaml").write_text(yaml.safe_dump(spec | keys), "utf-8")
    return bands


def test_scenes_are_stored_with_the_bands_and_the_range_of_the_dataset_file(workspace, capsys):
    bands = add_scenes(workspace, bands=[3, 2, 1], range=[500, 3000])
    assert run(workspace) == 0
    message = capsys.readouterr().err
    assert (
        "mine: 2 images read as bands 3 2 1 of 4, uint16, stretched from 500…3000\n"
        "mine: 2 images read as RGB, 8 bits\n"
    ) in message
    table = stored(workspace)
    shares = np.clip((bands[[2, 1, 0]].astype(float) - 500) / 2500, 0, 1)
    expected = np.moveaxis((shares * 255 + 0.5).astype(np.uint8), 0, -1)
    for name in ("a", "b"):
        assert np.array_equal(table["images"][table["names"].index(name)], expected)
    plain = table["names"].index("d")
    assert np.array_equal(table["images"][plain], decoded_alone(workspace, ["images/d.png"])[0])
    assert table["provenance"]["pixels"] == {"bands": [3, 2, 1], "range": [500, 3000]}


def test_the_detector_is_shown_the_pixels_that_are_stored(workspace, monkeypatch):
    """`galr regions` reads the files again, by what dataset.h5 says about bands and range."""
    from galr.commands import regions
    from galr.regions import detector

    class LoadedError(Exception):
        pass

    def load_all(loaders, *, threads):
        raise LoadedError([np.asarray(load()) for load in loaders])

    add_scenes(workspace, bands=[4, 1, 2], range=[0, 4095])
    assert run(workspace) == 0
    table = stored(workspace)
    monkeypatch.setattr(regions, "read_runnable_spec", lambda _: None)
    monkeypatch.setattr(detector, "open_detector", lambda *_: SimpleNamespace(detect=load_all))
    options = regions.Options(
        dataset=workspace / "dataset.h5",
        folder=workspace / "resources/mine/files",
        detector=workspace / "none.yaml",
        checkpoint=workspace / "none.pth",
        output=workspace / "regions.h5",
        device="cpu",
    )
    with pytest.raises(LoadedError) as caught:
        regions.run(options)
    (shown,) = caught.value.args
    for name in ("a", "b"):
        number = table["names"].index(name)
        assert np.array_equal(shown[number], table["images"][number])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"bands": [1, 2]}, "bands are three numbers"),
        ({"bands": [0]}, "bands"),
        ({"bands": [1, 2, 9]}, r"it has 4 bands, and bands 1 2 9 are asked for"),
        ({"range": [3000, 0]}, "range is two numbers"),
        ({"range": [0]}, "range"),
    ],
)
def test_bands_and_ranges_that_mean_nothing_are_refused(workspace, capsys, keys, message):
    add_scenes(workspace, **keys)
    assert run(workspace) == 2
    assert re.search(message, capsys.readouterr().err)
