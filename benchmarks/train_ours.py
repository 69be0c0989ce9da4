"""Our training and evaluation, and the bare network on random tensors as their limit."""

import time
from collections.abc import Callable
from itertools import chain, count, islice

import h5py
import torch
from train_workload import (
    EDGES,
    GRAD_CLIP_NORM,
    LEARNING_RATE,
    MARGIN,
    SENTENCES_PER_IMAGE,
    VOCABULARY_SIZE,
    StepShape,
    Turn,
    Workload,
    build_model,
    seconds_since,
    synchronize,
    synthetic_graphs,
    synthetic_split,
    synthetic_token_ids,
)

from galr.model.galr import IMAGENET_MEAN, IMAGENET_STD, GraphBatch, PixelStatistics
from galr.train.batches import Augmentation, PairBatches
from galr.train.distributed import launch_fabric
from galr.train.embed import validate
from galr.train.image_store import InMemoryImages, open_image_store
from galr.train.loss import TripletSum
from galr.train.optimizer import Schedule
from galr.train.step import TrainStep, compile_image_encoder

BATCH_SIZE = 128  # of the evaluation


def train_ours(group_by_image: bool, work: Workload) -> Callable[[int], Turn]:
    """Our training loop; each call continues it by a number of steps."""
    device = torch.device(work.device)
    train_step = build_train_step(work)
    train_step.start_epoch()
    batches, _ = build_batches(work, work.images, group_by_image, None)
    endless = chain.from_iterable(batches.epoch() for _ in count())

    def turn(steps: int) -> Turn:
        start, shapes = time.perf_counter(), []
        for batch in islice(endless, steps):
            train_step.step(batch)
            shapes.append(StepShape(len(batch.images), batch.sentences.lengths))
        return Turn(seconds_since(start, device), shapes)

    return turn


def train_epochs(work: Workload) -> Callable[[int], tuple[float, str]]:
    """Seconds of an epoch of the first images, one sentence each, and where the images are kept."""
    device = torch.device(work.device)
    train_step = build_train_step(work)
    train_step.start_epoch()

    def run_epoch(images: int) -> tuple[float, str]:
        batches, location = build_batches(work, images, False, 1)
        synchronize(device)
        start = time.perf_counter()
        for batch in batches.epoch():
            train_step.step(batch)
        return seconds_since(start, device), location

    return run_epoch


def build_train_step(work: Workload) -> TrainStep:
    """Our training step with the workload's model."""
    return TrainStep(
        build_model(work),
        TripletSum(MARGIN),
        launch_fabric(torch.device(work.device), 1, work.precision),
        learning_rate=LEARNING_RATE,
        schedule=Schedule(epochs=1, steps_per_epoch=1),  # constant
        grad_clip_norm=GRAD_CLIP_NORM,
        compiled=work.compiled,
    )


def build_batches(
    work: Workload, images: int, group_by_image: bool, sentences: int | None
) -> tuple[PairBatches, str]:
    """Our batches of the first images, and whether their images are in memory or read ahead.

    Args:
        work: the workload.
        images: how many images.
        group_by_image: whether the pairs of an image share a step.
        sentences: sentences of each image and epoch; None takes all.
    """
    device = torch.device(work.device)
    stored = h5py.File(work.folder / "dataset.h5")["images"]
    store = open_image_store(stored, range(images), device, max_bytes=work.cache_bytes)
    batches = PairBatches(
        store,
        synthetic_graphs(images).to(device),
        synthetic_split(images),
        synthetic_token_ids(images * SENTENCES_PER_IMAGE),
        input_size=work.input_size,
        augmentation=Augmentation("rotate", max_rotation=90, min_crop=1),
        statistics=PixelStatistics(torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)),
        batch_size=work.batch_size,
        sentences_per_epoch=sentences,
        group_by_image=group_by_image,
        shared_negatives=False,
        edges=EDGES,
        seed=0,
    )
    return batches, "in memory" if isinstance(store, InMemoryImages) else "read ahead"


def train_limit(work: Workload) -> Callable[[list[StepShape]], Turn]:
    """Forward, backward and optimizer alone, on random tensors on the device; each call runs steps of given shapes."""
    device = torch.device(work.device)
    model = build_model(work).to(device).train()
    if work.compiled:
        compile_image_encoder(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    loss = TripletSum(MARGIN)
    diagonal = torch.eye(work.batch_size, dtype=torch.bool, device=device)
    pixels = torch.randn(work.batch_size, 3, work.input_size, work.input_size, device=device)
    pixels = pixels.to(memory_format=torch.channels_last)
    graph = synthetic_graphs(work.batch_size).to(device).batch(range(work.batch_size))
    token_ids = torch.randint(1, VOCABULARY_SIZE, (work.batch_size, 100), device=device)
    autocast = work.precision == "bf16"

    def turn(shapes: list[StepShape]) -> Turn:
        start = time.perf_counter()
        for images, lengths in shapes:
            optimizer.zero_grad(set_to_none=True)
            image_index = torch.arange(len(lengths), device=device) * images // len(lengths)
            longest = int(lengths.max())
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                first = GraphBatch(*(table[:images] for table in graph))
                image_embeddings = model.encode_images(pixels[:images], first).float()
                sentence_embeddings = model.encode_sentences(
                    token_ids[: len(lengths), :longest], lengths
                ).float()
            loss(image_embeddings[image_index] @ sentence_embeddings.T, diagonal).backward()
            optimizer.step()
        return Turn(seconds_since(start, device), shapes)

    return turn


def evaluate_ours(work: Workload) -> Callable[[int], float]:
    """Seconds of our evaluation of the first images, from dataset.h5 to recalls."""
    device = torch.device(work.device)
    model = build_model(work).to(device)
    stored = h5py.File(work.folder / "dataset.h5")["images"]

    def evaluate(images: int) -> float:
        # Streamed: each image is used once.
        store = open_image_store(stored, range(images), device, max_bytes=0)
        graphs, split = synthetic_graphs(images).to(device), synthetic_split(images)
        token_ids = synthetic_token_ids(images * SENTENCES_PER_IMAGE)
        start = time.perf_counter()
        validate(
            model,
            store,
            graphs,
            split,
            token_ids,
            input_size=work.input_size,
            batch_size=BATCH_SIZE,
        )
        return seconds_since(start, device)

    return evaluate
