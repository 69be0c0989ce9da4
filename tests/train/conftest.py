"""A world small enough to learn by heart."""

from dataclasses import dataclass

import h5py
import numpy as np
import pytest
import torch

from galr.data.vocabulary import Vocabulary
from galr.model.galr import GaLR
from galr.train.batches import PairBatches
from galr.train.embed import GraphStore
from galr.train.image_store import ImageStore, InMemoryImages
from galr.train.splits import SplitData, select

COLOURS = ["red", "green", "blue", "grey", "white", "black"]
RGB = [(220, 30, 30), (30, 200, 30), (30, 30, 220), (128, 128, 128), (240, 240, 240), (15, 15, 15)]
SIDE = 36


@dataclass(frozen=True)
class World:
    """Twelve plain pictures, two a colour, every other one with a region: 1 to 3 sentences each."""

    images: h5py.Dataset
    pictures: ImageStore
    graphs: GraphStore
    part: SplitData
    words: list[list[int]]
    vocabulary: Vocabulary

    def feed(self, **changes):
        how = {
            "crop": 32, "rotate": 0.0, "batch": 24, "sentences_per_epoch": None, "grouped": True,
            "shared_negatives": False, "edges": None, "seed": 3,
        }  # fmt: skip
        return PairBatches(self.pictures, self.graphs, self.part, self.words, **how | changes)

    def model(self, **changes):
        torch.manual_seed(0)
        how = {
            "backbone": "resnet18", "crop": 32, "regions": 3, "features": 4,
            "words": len(self.vocabulary), "embedding": 32, "text": "bigru", "word_size": 16,
            "text_size": 32, "text_dropout": 0.0, "heads": 4, "feed_forward": 32, "dropout": 0.0,
            "fusion": "midf", "branches": "both",
        }  # fmt: skip
        return GaLR(**how | changes)


@pytest.fixture
def world(tmp_path):
    pictures = np.stack([np.full((SIDE, SIDE, 3), RGB[i // 2], np.uint8) for i in range(12)])
    owners = np.repeat(np.arange(12, dtype=np.int32), np.arange(12) % 3 + 1)
    sentences = [
        f"a {COLOURS[i // 2]} field with {'one plane' if i % 2 else 'nothing'}" for i in owners
    ]
    mask = torch.zeros(12, 3, dtype=torch.bool)
    mask[1::2, 0] = True
    shown = mask.float()
    graphs = GraphStore(shown.unsqueeze(-1).repeat(1, 1, 4), torch.diag_embed(shown), mask, None)
    vocabulary = Vocabulary.build(sentences, 1, stop_words=True)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        images = file.create_dataset("images", data=pictures)
        yield World(
            images,
            InMemoryImages(images, range(12), torch.device("cpu")),
            graphs,
            select(list(range(12)), sentences, owners),
            vocabulary.encode(sentences, 20),
            vocabulary,
        )
