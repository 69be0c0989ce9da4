"""The work that all contenders of benchmarks/train.py are given: images, sentences, graphs and the model."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch
import yaml
from PIL import Image
from torch import Tensor

from galr.graphs import drea
from galr.graphs.detections import Detections
from galr.graphs.edges import EdgeConfig
from galr.io.images import load_resized
from galr.model.galr import GaLR
from galr.train.graph_store import GraphStore
from galr.train.options import ModelOptions, Precision
from galr.train.splits import SplitData

CONFIG = Path(__file__).parents[1] / "config" / "config.yaml"
FILE_SIZE, STORED_SIZE = 256, 278  # pixels of an image, in its file and in dataset.h5
DISTINCT_IMAGES = 64  # images that are drawn; those of the dataset repeat them
SENTENCES_PER_IMAGE, VOCABULARY_SIZE = 5, 1500
REGIONS_PER_IMAGE, NUM_CLASSES = 12, 15
EDGES = EdgeConfig("gaussian", 0.2)
LEARNING_RATE, MARGIN, GRAD_CLIP_NORM = 2e-4, 0.2, 2.0


@dataclass(frozen=True)
class Workload:
    """What every contender is given.

    Attributes:
        folder: holds the images' files and dataset.h5.
        device: its name.
        threads: of the CPU.
        images: number of images in dataset.h5.
        batch_size: pairs in a step.
        input_size: side of the model's input in pixels.
        precision: of ours and of the limit.
        compiled: whether ours and the limit are compiled, as by `train.compile`.
        cache_bytes: memory for images that ours may keep on the device.
    """

    folder: Path
    device: str
    threads: int
    images: int
    batch_size: int
    input_size: int
    precision: Precision
    compiled: bool
    cache_bytes: int


class StepShape(NamedTuple):
    """Size of a step: how many images it encodes, and the lengths of its sentences, (B,) int64."""

    images: int
    lengths: Tensor


class Turn(NamedTuple):
    """Seconds that some steps took, and their shapes."""

    seconds: float
    shapes: list[StepShape]


def write_images(work: Workload) -> None:
    """Write JPEG files that cost as much to decode as aerial images, and dataset.h5 of the same images."""
    random = np.random.default_rng(0)
    stored = np.empty((DISTINCT_IMAGES, STORED_SIZE, STORED_SIZE, 3), np.uint8)
    for image in range(DISTINCT_IMAGES):
        coarse = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((FILE_SIZE, FILE_SIZE), Image.Resampling.BICUBIC)
        noisy = np.asarray(smooth) + random.normal(0, 8, (FILE_SIZE, FILE_SIZE, 3))
        file = image_file(work.folder, image)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, quality=90)
        stored[image] = load_resized(file, STORED_SIZE).pixels
    with h5py.File(work.folder / "dataset.h5", "w") as file:
        shape = (work.images, STORED_SIZE, STORED_SIZE, 3)
        table = file.create_dataset("images", shape, np.uint8, chunks=(1, *shape[1:]))
        for start in range(0, work.images, DISTINCT_IMAGES):
            table[start : start + DISTINCT_IMAGES] = stored[: work.images - start]


def image_file(folder: Path, image: int) -> Path:
    """The file of an image."""
    return folder / f"{image % DISTINCT_IMAGES}.jpg"


def synthetic_split(images: int) -> SplitData:
    """`SENTENCES_PER_IMAGE` sentences an image, all different."""
    image_of_sentence = np.repeat(np.arange(images, dtype=np.int32), SENTENCES_PER_IMAGE)
    sentences = [f"sentence {i}" for i in range(len(image_of_sentence))]
    return SplitData(list(range(images)), sentences, image_of_sentence)


def synthetic_token_ids(sentences: int) -> list[list[int]]:
    """Token ids of sentences of 6 to 17 words, 11.5 on average as in RSICD."""
    random = np.random.default_rng(0)
    return [
        random.integers(1, VOCABULARY_SIZE, size).tolist()
        for size in random.integers(6, 18, sentences)
    ]


def synthetic_graphs(images: int) -> GraphStore:
    """DREA's graphs of regions scattered over images."""
    random = np.random.default_rng(0)
    corner = random.uniform(0, FILE_SIZE - 64, (images * REGIONS_PER_IMAGE, 2))
    graphs = drea.build_graphs(
        Detections(
            np.arange(images + 1) * REGIONS_PER_IMAGE,
            np.concatenate([corner, corner + random.uniform(8, 64, corner.shape)], axis=1),
            random.uniform(0.3, 1, len(corner)),
            random.integers(NUM_CLASSES, size=len(corner)),
            np.full((images, 2), FILE_SIZE),
        ),
        NUM_CLASSES,
        min_score=0.3,
        max_regions=20,
        similarity="cosine",
        similarity_threshold=0.98,
        edges=EDGES,
    )
    tables = (graphs.representation, graphs.adjacency, graphs.mask)
    return GraphStore(*(torch.from_numpy(table) for table in tables), EDGES)


def build_model(work: Workload) -> GaLR:
    """The model of config.yaml with random weights, by seed."""
    torch.manual_seed(0)
    options = ModelOptions(**yaml.safe_load(CONFIG.read_text())["model"])
    sizes = {"vocab_size": VOCABULARY_SIZE, "max_regions": 20, "node_dim": NUM_CLASSES + 5}
    return GaLR(
        **options.architecture()
        | sizes
        | {"input_size": work.input_size, "text_config": None, "freeze": []}
    )


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_since(start: float, device: torch.device) -> float:
    """Seconds since `start` until the device has finished all its work."""
    synchronize(device)
    return time.perf_counter() - start
