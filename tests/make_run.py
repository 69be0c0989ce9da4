"""A run with random weights, in the files that the workflow writes: for tests of the commands after training."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from galr.__main__ import main
from galr.data.vocabulary import Vocabulary
from galr.graphs import drea
from galr.graphs.detections import Detections
from galr.io.formats import Dataset, Graphs
from galr.io.images import load_resized, load_rgb
from galr.model.checkpoint import Checkpoint, save_checkpoint
from galr.model.galr import GaLR
from galr.provenance import file_sha256
from galr.similarity.encode import write_similarity

from .architecture import SMALL_GALR

IMAGES, SIZE = 16, 40
SPLITS = ["train"] * 8 + ["val"] * 3 + ["test"] * 5
WORDS = ("two", "white", "planes", "beside", "a", "bar", "dark", "field", "one", "three")
CLASSES = ("plane", "bar")
GRAPH_OPTIONS = {
    "min_score": 0.3, "max_regions": 4, "similarity": "cosine", "similarity_threshold": 0.98,
    "proximity": "gaussian", "bandwidth": 0.2, "salience": True, "self_loops": True, "normalisation": "symmetric",
}  # fmt: skip
ARCHITECTURE = SMALL_GALR | {"gru_hidden": 8, "heads": 2, "ffn_dim": 16}
RERANK_FLAGS = "--rerank none mr-paper qbnorm --k 3 5 --w1 0.3 --w2 0.7 1.1"
NAMES = [f"{number:02}" for number in range(IMAGES)]


def write_images(folder):
    """Write images of many sizes, some grey, some with transparency, and return their paths in order."""
    random, paths = np.random.default_rng(0), []
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        shape = (30 + 3 * number, 60 - number, (3, 4, 3)[number % 3])
        pixels = random.integers(0, 255, shape, dtype=np.uint8)
        paths.append(folder / f"{name}.png")
        Image.fromarray(pixels).convert("L" if number % 3 == 2 else None).save(paths[-1])
    return paths


def sample_regions(seed):
    """Boxes, scores and classes of a few regions, or of none."""
    random = np.random.default_rng(seed)
    count = seed % 6
    corners = random.uniform(0, 14, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(2, 12, (count, 2))], axis=1)
    return boxes, random.uniform(0.2, 1, count), random.integers(0, len(CLASSES), count)


def write_dataset(path, images):
    """Write dataset.h5 and folds.csv with one fold, three sentences an image."""
    random = np.random.default_rng(1)
    decoded = [load_resized(image, SIZE) for image in images]
    sentences = [" ".join(random.choice(WORDS, random.integers(2, 7))) for _ in range(3 * IMAGES)]
    with Dataset.create(path, {"dataset": "small"}) as file:
        file.write(
            images=np.stack([each.pixels for each in decoded]),
            sizes=np.array([(each.width, each.height) for each in decoded], np.int32),
            image_of_sentence=np.repeat(np.arange(IMAGES, dtype=np.int32), 3),
            names=NAMES,
            files=NAMES,
            sentences=sentences,
            splits=["test" if split == "test" else "train" for split in SPLITS],
        )
    lines = [f"{name},{split}" for name, split in zip(NAMES, SPLITS, strict=True)]
    path.with_name("folds.csv").write_text("\n".join(["name,fold0", *lines]) + "\n")


def write_graphs(path, images):
    """Write graphs.h5, DREA's graphs of `sample_regions`, and return its provenance."""
    boxes, scores, classes = zip(*(sample_regions(number) for number in range(IMAGES)), strict=True)
    graphs = drea.build_graphs(
        Detections(
            np.cumsum([0, *map(len, boxes)]),
            np.concatenate(boxes).astype(np.float32),
            np.concatenate(scores).astype(np.float32),
            np.concatenate(classes),
            np.array([load_rgb(image).size for image in images], np.int32),
        ),
        len(CLASSES),
        **drea.build_kwargs(GRAPH_OPTIONS),
    )
    provenance = {"settings": GRAPH_OPTIONS, "columns": drea.feature_names(CLASSES)}
    with Graphs.create(path, provenance) as file:
        file.write(names=NAMES, **vars(graphs))
    return provenance


def write_run(folder: Path, branches="both", **architecture):
    """Write all files of a run below a folder, and return the run's own folder, results/small/<branches>/fold0."""
    images = write_images(folder / "images")
    dataset = folder / "results/small/dataset.h5"
    run = dataset.parent / branches / "fold0"
    write_dataset(dataset, images)
    graph_provenance, graphs = None, None
    if branches != "global":
        graphs = run.with_name("graphs.h5")
        graph_provenance = write_graphs(graphs, images)
    write_checkpoint(
        run,
        Vocabulary(WORDS[:8]),
        branches=branches,
        max_regions=GRAPH_OPTIONS["max_regions"],
        num_classes=len(CLASSES),
        weights_seed=2,
        architecture=architecture,
        folds_sha256=file_sha256(dataset.with_name("folds.csv")),
        size=SIZE,
        graphs=graph_provenance,
        seed=5,
    )
    encode(run)
    evaluate(run)
    return run


def write_checkpoint(
    run,
    vocabulary,
    *,
    branches,
    max_regions,
    num_classes,
    weights_seed,
    architecture=None,
    **provenance,
):
    """Write checkpoint.pt of a run, with random weights; its dataset and graphs must exist."""
    graphs = None if branches == "global" else run.with_name("graphs.h5")
    architecture = ARCHITECTURE | (architecture or {}) | {
        "branches": branches,
        "vocab_size": len(vocabulary),
        "max_regions": max_regions if graphs else 0,
        "node_dim": num_classes + 5 if graphs else 0,
    }  # fmt: skip
    torch.manual_seed(weights_seed)
    run.mkdir(parents=True)
    save_checkpoint(
        run / "checkpoint.pt",
        Checkpoint(
            architecture=architecture,
            state_dict=GaLR(**architecture).state_dict(),
            vocabulary=list(vocabulary.tokens),
            tokenizer=None,
            max_words=20,
            epoch=1,
            mr=50.0,
            provenance={
                "dataset": "small",
                "dataset_sha256": file_sha256(run.parents[1] / "dataset.h5"),
                "graphs_sha256": file_sha256(graphs) if graphs else None,
                "variant": run.parent.name,
                "fold": 0,
                "features": [None, None],
                **provenance,
            },
        ),
    )


def encode(run, batch_size=4):
    """Write a run's similarity.h5."""
    dataset, graphs = run.parents[1] / "dataset.h5", run.with_name("graphs.h5")
    write_similarity(
        run / "checkpoint.pt",
        dataset,
        graphs if graphs.exists() else None,
        dataset.with_name("folds.csv"),
        (None, None),
        run / "similarity.h5",
        bank=True,
        batch_size=batch_size,
        device=torch.device("cpu"),
    )


def evaluate(run, flags=RERANK_FLAGS):
    """Write a run's metrics.csv and ranks.h5."""
    words = f"--similarity {run}/similarity.h5 --output {run}/metrics.csv --ranks {run}/ranks.h5"
    assert (
        main(["evaluate", *words.split(), *flags.split(), "--resamples", "50", "--seed", "5"]) == 0
    )
