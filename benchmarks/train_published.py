"""The published way to train and evaluate, written from its description.

Training: each pair opens, resizes, rotates and crops its own image with PIL in one of three workers and encodes
it, in float32, and every step waits for the device after forward, backward and optimizer. Evaluation: the whole
model runs on every block of images with every block of sentences.
"""

import time
import warnings
from collections.abc import Callable
from itertools import chain, count, islice

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from train_workload import (
    LEARNING_RATE,
    MARGIN,
    SENTENCES_PER_IMAGE,
    STORED_SIZE,
    StepShape,
    Turn,
    Workload,
    build_model,
    image_file,
    seconds_since,
    synchronize,
    synthetic_graphs,
    synthetic_token_ids,
)

from galr.model.galr import GraphBatch
from galr.model.text import pad_tokens
from galr.train.augment import IMAGENET_MEAN, IMAGENET_STD
from galr.train.loss import TripletSum

WORKERS = 3
BLOCK = 128  # images and sentences of a block in the evaluation


class ImagePairs(Dataset[tuple[Tensor, GraphBatch, list[int]]]):
    """Image-sentence pairs, each with an image opened for it alone.

    Args:
        work: images, sentences and graphs.
    """

    def __init__(self, work: Workload) -> None:
        self._folder = work.folder
        self._graphs = synthetic_graphs(work.images)
        self._token_ids = synthetic_token_ids(work.images * SENTENCES_PER_IMAGE)
        self._transform = transforms.Compose(
            [
                transforms.Resize((STORED_SIZE, STORED_SIZE)),
                transforms.RandomRotation((0, 90)),
                transforms.RandomCrop(work.input_size),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        """Number of sentences of all images."""
        return len(self._token_ids)

    def __getitem__(self, pair: int) -> tuple[Tensor, GraphBatch, list[int]]:
        """Open, resize, rotate and crop the image of a sentence."""
        row = pair // SENTENCES_PER_IMAGE
        graph = GraphBatch(*(table[0] for table in self._graphs.batch([row])))
        with Image.open(image_file(self._folder, row)) as image:
            return self._transform(image.convert("RGB")), graph, self._token_ids[pair]


def train_published(work: Workload) -> Callable[[int], Turn]:
    """The published training loop; each call continues it by a number of steps."""
    warnings.filterwarnings("ignore", "This DataLoader will create")  # three, however few cores
    device = torch.device(work.device)
    model = build_model(work).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loss = TripletSum(MARGIN)
    diagonal = torch.eye(work.batch_size, dtype=torch.bool, device=device)
    loader = DataLoader(
        ImagePairs(work),
        batch_size=work.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
    )
    batches = chain.from_iterable(loader for _ in count())

    def turn(steps: int) -> Turn:
        start, shapes = time.perf_counter(), []
        for pixels, graph, token_ids, lengths in islice(batches, steps):
            on_device = GraphBatch(*(table.to(device) for table in graph))
            similarity = model(pixels.to(device), on_device, token_ids.to(device), lengths)
            synchronize(device)
            optimizer.zero_grad()
            loss(similarity, diagonal).backward()
            synchronize(device)
            optimizer.step()
            synchronize(device)
            shapes.append(StepShape(len(pixels), lengths))
        return Turn(seconds_since(start, device), shapes)

    return turn


def collate(
    pairs: list[tuple[Tensor, GraphBatch, list[int]]],
) -> tuple[Tensor, GraphBatch, Tensor, Tensor]:
    """Stack pairs: pixels, graphs, padded token ids and their lengths."""
    pixels, graphs, token_ids = zip(*pairs, strict=True)
    stacked = GraphBatch(*(torch.stack(tables) for tables in zip(*graphs, strict=True)))
    return torch.stack(pixels), stacked, *pad_tokens(list(token_ids))


def evaluate_published(work: Workload) -> Callable[[int], float]:
    """Seconds of a number of passes of the whole model over a block of images and a block of sentences."""
    device = torch.device(work.device)
    model = build_model(work).to(device).eval()
    pixels = torch.randn(BLOCK, 3, work.input_size, work.input_size)
    graph = synthetic_graphs(BLOCK).batch(range(BLOCK))
    token_ids, lengths = pad_tokens(synthetic_token_ids(BLOCK))

    @torch.inference_mode()
    def run_passes(passes: int) -> float:
        start = time.perf_counter()
        for _ in range(passes):
            on_device = GraphBatch(*(table.to(device) for table in graph))
            model(pixels.to(device), on_device, token_ids.to(device), lengths).cpu()
        return seconds_since(start, device)

    return run_passes
