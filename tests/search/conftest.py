"""Set-up for search: a small dataset, runs on it with random weights, and a detector with random weights."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch
import yaml
from PIL import Image

from galr import __main__
from galr.data.vocabulary import Vocabulary
from galr.io.formats import Dataset
from galr.io.images import load_resized
from galr.regions import network
from galr.regions.detector_spec import read_network_spec

from ..detectors import TINY_DETECTOR  # isort: skip
from ..make_run import write_checkpoint  # isort: skip

NUM_IMAGES, SIZE = 12, 40
QUERY = "two white squares beside a bar"
DETECTION = {"mmdet", "mmcv", "mmengine", "skimage"}
WORDS = ("two", "white", "squares", "beside", "a", "bar", "dark", "field", "one", "three")
DETECTOR = {
    "title": "random weights: its regions are arbitrary, and always the same",
    "model": TINY_DETECTOR,
    "classes": ["square", "bar"],
    "checkpoint": {"file": "random.pth"},
    "detect": {"input": [64, 64], "batch": 4, "score": 0.0, "overlap": 0.5, "regions": 9},
}


def galr(*words):
    """Run a command; its errors are raised."""
    __main__.run([str(word) for word in words])


def write_image(path, seed, size=(48, 40)):
    """Write an image of coloured noise and rectangles."""
    random = np.random.default_rng(seed)
    width, height = size
    pixels = random.integers(0, 90, (height, width, 3), dtype=np.uint8)
    for _ in range(4):
        x, y = random.integers(0, width - 8), random.integers(0, height - 8)
        pixels[y : y + 12, x : x + 10] = random.integers(0, 255, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_geotiff(path):
    """Write a GeoTIFF of 120 by 90 pixels, half a metre each."""
    bands = np.random.default_rng(7).integers(0, 255, (3, 90, 120), dtype=np.uint8)
    transform = rasterio.Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 4_650_000.0)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=90, width=120, dtype="uint8",
        crs="EPSG:32633", transform=transform,
    ) as file:  # fmt: skip
        file.write(bands)


def loaded_modules(code):
    """Names of all modules that are loaded after a piece of code has run in a new process."""
    process = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(process.stdout.splitlines()[-1].split())


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A dataset and three runs on it, with the branches global, both and global; the third has other weights."""
    folder = tmp_path_factory.mktemp("runs")
    runs = SimpleNamespace(
        folder=folder,
        images=folder / "images",
        dataset=folder / "results/small/dataset.h5",
        detector=folder / "random.yaml",
        weights=folder / "random.pth",
    )
    write_dataset(runs)
    write_detector(runs)
    detect(runs)
    vocabulary = Vocabulary.build(WORDS, 1)
    for variant, branches, seed in (
        ("global", "global", 1),
        ("both", "both", 8),  # of 2, ReLU leaves nothing of the regions
        ("other", "global", 3),
    ):
        run = runs.dataset.parent / variant / "fold0"
        write_checkpoint(
            run, vocabulary, branches=branches, max_regions=5, num_classes=2, weights_seed=seed
        )
        setattr(runs, f"{variant}_run", run)
    return runs


def write_dataset(runs):
    """Write the images, dataset.h5 and folds.csv."""
    names = [f"{number:02}" for number in range(NUM_IMAGES)]
    for number, name in enumerate(names):
        write_image(runs.images / f"{name}.png", number)
    random = np.random.default_rng(0)
    decoded = [load_resized(runs.images / f"{name}.png", SIZE) for name in names]
    with Dataset.create(runs.dataset, {"dataset": "small"}) as file:
        file.write(
            images=np.stack([image.pixels for image in decoded]),
            names=names,
            files=[f"{name}.png" for name in names],
            sizes=np.array([(image.width, image.height) for image in decoded], np.int32),
            splits=["train"] * 9 + ["test"] * 3,
            sentences=[" ".join(random.choice(WORDS, 4)) for _ in range(3 * NUM_IMAGES)],
            image_of_sentence=np.repeat(np.arange(NUM_IMAGES, dtype=np.int32), 3),
        )
    splits = ["train"] * 7 + ["val"] * 2 + ["test"] * 3
    lines = ["name,fold0", *(f"{name},{split}" for name, split in zip(names, splits, strict=True))]
    runs.dataset.with_name("folds.csv").write_text("\n".join(lines) + "\n")


def write_detector(runs):
    """Write a detector file and random weights."""
    runs.detector.write_text(yaml.safe_dump(DETECTOR | {"checkpoint": {"file": str(runs.weights)}}))
    torch.manual_seed(0)
    model = network.build_network(read_network_spec(runs.detector))
    network.init_weights(model)
    torch.save({"state_dict": model.state_dict()}, runs.weights)


def detect(runs):
    """Detect regions, and make graphs for the variant `both`."""
    regions = runs.folder / "regions.h5"
    galr(
        "regions", "--dataset", runs.dataset, "--folder", runs.images, "--detector", runs.detector,
        "--checkpoint", runs.weights, "--output", regions, "--device", "cpu",
    )  # fmt: skip
    graphs = runs.dataset.parent / "both/graphs.h5"
    galr("graphs", "--regions", regions, "--output", graphs, "--max-regions", 5, "--min-score", 0)


@pytest.fixture
def folder(tmp_path):
    """Five images in folders: one is large, two are equal."""
    folder = tmp_path / "mine"
    write_image(folder / "a.png", 100)
    write_image(folder / "deep/b.png", 101, (64, 64))
    write_image(folder / "deep/c.tif", 102, (60, 50))
    write_image(folder / "large.png", 103, (150, 90))
    (folder / "deep/twin.png").write_bytes((folder / "a.png").read_bytes())
    return folder


@pytest.fixture
def make_index(runs, tmp_path):
    """Index a folder, or the dataset without one, with small tiles: `make_index(folder, *flags)`."""

    def make(folder=None, *flags, run=runs.global_run, output=tmp_path / "index"):
        words = ["--run", run, "--output", output, "--device", "cpu", "--batch", 3]
        words += ["--tile", 40, "--max-untiled", 64, "--detector", runs.detector]
        galr("index", *words, *(["--folder", folder] if folder else []), *flags)
        return output

    return make


@pytest.fixture
def run_search(capsys):
    """Search and read the output: `run_search(index, *words)` has its lines, messages and documents."""

    def run(index, *words):
        capsys.readouterr()  # the output of indexing
        galr("search", "--index", index, *words)
        out, err = capsys.readouterr()
        documents = [json.loads(line) for line in out.splitlines()] if "--json" in words else None
        return SimpleNamespace(lines=out.splitlines(), messages=err, documents=documents)

    return run
