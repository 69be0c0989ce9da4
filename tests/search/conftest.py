"""A doll's house for search: a dataset of drawn pictures, models with random weights, a detector likewise."""

import argparse
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from galr import store
from galr.commands import graphs as graphs_stage
from galr.commands import index as index_stage
from galr.commands import regions as regions_stage
from galr.commands import search as search_stage
from galr.data.vocabulary import Vocabulary
from galr.io.images import load_resized
from galr.model import checkpoint as checkpoints
from galr.model.galr import GaLR
from galr.provenance import file_sha256
from galr.regions import network
from galr.regions.detector_spec import read_network_spec

from ..detectors import TINY_DETECTOR  # isort: skip
from ..make_run import ARCHITECTURE  # isort: skip

IMAGES, SIZE = 12, 40
WORDS = ("two", "white", "squares", "beside", "a", "bar", "dark", "field", "one", "three")
STAGES = {
    "index": index_stage,
    "search": search_stage,
    "regions": regions_stage,
    "graphs": graphs_stage,
}
DETECTOR = {
    "title": "weights at random: what it finds means nothing, and is always the same",
    "model": TINY_DETECTOR,
    "classes": ["square", "bar"],
    "checkpoint": {"file": "random.pth"},
    "detect": {"input": [64, 64], "batch": 4, "score": 0.0, "overlap": 0.5, "regions": 9},
}


def call(stage, *words):
    """Run a stage as the command line does."""
    module = STAGES[stage]
    parser = argparse.ArgumentParser()
    module.Flags.add_flags(parser)
    module.run(module.Flags.from_flags(parser.parse_args([str(word) for word in words])))


def draw(path, seed, size=(48, 40)):
    """Write a picture of coloured noise and rectangles."""
    random = np.random.default_rng(seed)
    width, height = size
    pixels = random.integers(0, 90, (height, width, 3), dtype=np.uint8)
    for _ in range(4):
        x, y = random.integers(0, width - 8), random.integers(0, height - 8)
        pixels[y : y + 12, x : x + 10] = random.integers(0, 255, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """A dataset and three runs on it, of the variants global, both and other (as global, other weights)."""
    place = tmp_path_factory.mktemp("house")
    said = SimpleNamespace(
        place=place,
        pictures=place / "pictures",
        dataset=place / "results/small/dataset.h5",
        detector=place / "random.yaml",
        weights=place / "random.pth",
    )
    for number in range(IMAGES):
        draw(said.pictures / f"{number:02}.png", number)
    names = [f"{number:02}" for number in range(IMAGES)]
    random = np.random.default_rng(0)
    sentences = [" ".join(random.choice(WORDS, 4)) for _ in range(3 * IMAGES)]
    files = [load_resized(said.pictures / f"{name}.png", SIZE) for name in names]
    with store.writing(said.dataset, store.DATASET, {"dataset": "small"}) as file:
        store.write_arrays(
            file,
            images=np.stack([each.pixels for each in files]),
            sizes=np.array([(each.width, each.height) for each in files], np.int32),
            image_of_sentence=np.repeat(np.arange(IMAGES, dtype=np.int32), 3),
        )
        store.write_texts(file, "names", names)
        store.write_texts(file, "files", [f"{name}.png" for name in names])
        store.write_texts(file, "sentences", sentences)
        store.write_texts(file, "splits", ["train"] * 9 + ["test"] * 3)
    folds = ["name,fold0", *(f"{n},train" for n in names[:7]), *(f"{n},val" for n in names[7:9])]
    folds += [f"{n},test" for n in names[9:]]
    said.dataset.with_name("folds.csv").write_text("\n".join(folds) + "\n")
    find(said)
    for variant, branches, seed in (
        ("global", "global", 1),
        ("both", "both", 2),
        ("other", "global", 3),
    ):
        setattr(said, f"{variant}_run", train(said, variant, branches, seed))
    return said


def find(said):
    """Find regions by a detector of random weights, and make their graphs."""
    said.detector.write_text(yaml.safe_dump(DETECTOR | {"checkpoint": {"file": str(said.weights)}}))
    torch.manual_seed(0)
    model = network.build_network(read_network_spec(said.detector))
    network.init_weights(model)
    torch.save({"state_dict": model.state_dict()}, said.weights)
    regions = said.place / "regions.h5"
    call(
        "regions", "--dataset", said.dataset, "--folder", said.pictures, "--detector", said.detector,
        "--checkpoint", said.weights, "--output", regions, "--device", "cpu",
    )  # fmt: skip
    graphs = said.place / "results/small/both/graphs.h5"
    call("graphs", "--regions", regions, "--output", graphs, "--most", 5, "--least-score", 0)


def train(said, variant, branches, seed):
    """Leave what a training leaves, its weights as they were drawn."""
    graphs = said.place / f"results/small/{variant}/graphs.h5"
    local = branches != "global"
    vocabulary = Vocabulary.build(WORDS, 1)
    architecture = ARCHITECTURE | {
        "branches": branches,
        "words": len(vocabulary),
        "regions": 5 if local else 0,
        "features": 7 if local else 0,
    }
    torch.manual_seed(seed)
    run = graphs.parent / "fold0"
    checkpoints.save_checkpoint(
        run / "checkpoint.pt",
        checkpoints.Checkpoint(
            architecture=architecture,
            state_dict=GaLR(**architecture).state_dict(),
            vocabulary=list(vocabulary.tokens),
            max_words=20,
            epoch=1,
            mr=50.0,
            provenance={
                "dataset": "small",
                "dataset_sha256": file_sha256(said.dataset),
                "graphs_sha256": file_sha256(graphs) if local else None,
                "variant": variant,
                "fold": 0,
            },
        ),
    )
    return run


@pytest.fixture
def folder(tmp_path):
    """Five pictures, one of them large, one twice, in folders."""
    place = tmp_path / "mine"
    draw(place / "a.png", 100)
    draw(place / "deep/b.png", 101, (64, 64))
    draw(place / "deep/c.tif", 102, (60, 50))
    draw(place / "large.png", 103, (150, 90))
    (place / "deep/twin.png").write_bytes((place / "a.png").read_bytes())
    return place


@pytest.fixture
def indexed(house, tmp_path):
    """Index a folder, or the dataset without one, with small tiles: `indexed(folder, *flags)`."""

    def make(folder=None, *flags, run=house.global_run, output=tmp_path / "index"):
        words = ["--run", run, "--output", output, "--device", "cpu", "--batch", 3]
        words += ["--tile", 40, "--whole", 64, "--detector", house.detector]
        call("index", *words, *(["--folder", folder] if folder else []), *flags)
        return output

    return make
