"""A dataset small enough to be memorised."""

from dataclasses import dataclass

import h5py
import numpy as np
import pytest
import torch

from galr.data.vocabulary import Vocabulary
from galr.model.galr import IMAGENET_MEAN, IMAGENET_STD, GaLR, PixelStatistics
from galr.train.batches import Augmentation, PairBatches
from galr.train.graph_store import GraphStore
from galr.train.image_store import ImageStore, InMemoryImages
from galr.train.splits import SplitData, select

from ..architecture import SMALL_GALR  # isort: skip

COLOURS = ["red", "green", "blue", "grey", "white", "black"]
RGB = [(220, 30, 30), (30, 200, 30), (30, 30, 220), (128, 128, 128), (240, 240, 240), (15, 15, 15)]
SIZE = 36
IMAGENET = PixelStatistics(torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD))


@dataclass(frozen=True)
class ToyDataset:
    """Twelve images of one colour each, two a colour, every other one with a region: 1 to 3 sentences each."""

    images: ImageStore
    graphs: GraphStore
    split: SplitData
    token_ids: list[list[int]]
    vocabulary: Vocabulary

    def batches(self, max_rotation=0.0, images=None, sentences=None, **changes):
        options = {
            "input_size": 32, "augmentation": Augmentation("rotate", max_rotation, 1.0),
            "statistics": IMAGENET, "batch_size": 24, "sentences_per_epoch": None,
            "group_by_image": True, "shared_negatives": False, "edges": None, "seed": 3,
        }  # fmt: skip
        return PairBatches(
            images or self.images,
            self.graphs,
            self.split,
            self.token_ids if sentences is None else sentences,
            **options | changes,
        )

    def build_model(self, **changes):
        torch.manual_seed(0)
        architecture = SMALL_GALR | {
            "vocab_size": len(self.vocabulary),
            "embed_dim": 32,
            "word_dim": 16,
            "gru_hidden": 32,
            "dropout": 0.0,
        }
        return GaLR(**architecture | changes)


@pytest.fixture
def toy(tmp_path):
    images = np.stack([np.full((SIZE, SIZE, 3), RGB[i // 2], np.uint8) for i in range(12)])
    image_of_sentence = np.repeat(np.arange(12, dtype=np.int32), np.arange(12) % 3 + 1)
    sentences = [
        f"a {COLOURS[i // 2]} field with {'one plane' if i % 2 else 'nothing'}"
        for i in image_of_sentence
    ]
    mask = torch.zeros(12, 3, dtype=torch.bool)
    mask[1::2, 0] = True
    ones = mask.float()
    graphs = GraphStore(ones.unsqueeze(-1).repeat(1, 1, 4), torch.diag_embed(ones), mask, None)
    vocabulary = Vocabulary.build(sentences, 1, stop_words=True)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        stored = file.create_dataset("images", data=images)
        yield ToyDataset(
            InMemoryImages(stored, range(12), torch.device("cpu")),
            graphs,
            select(list(range(12)), sentences, image_of_sentence),
            vocabulary.encode(sentences, 20),
            vocabulary,
        )
