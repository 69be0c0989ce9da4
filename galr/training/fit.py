"""The loop: pairs in, weights out; the epoch with the best validation mR is kept."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_
from tqdm import tqdm

from galr.graph.adjacency import Edges
from galr.model.galr import GaLR
from galr.model.text import pad
from galr.retrieval.metrics import scores
from galr.retrieval.ranks import ranks
from galr.training.embed import Graphs, embed_images, embed_sentences
from galr.training.loss import hinge_loss, positives
from galr.training.moving import moved
from galr.training.parts import Part
from galr.training.pixels import drawn_views, read, turned

RECALLS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mr")


@dataclass(frozen=True)
class Fitted:
    """What training leaves."""

    state: dict[str, torch.Tensor]
    epoch: int  # the one kept, from 1
    mr: float  # its validation mR, percent
    history: list[dict[str, Any]]  # a row an epoch


def fit(
    model: GaLR,
    images: h5py.Dataset,
    graphs: Graphs,
    train: Part,
    validation: Part,
    train_words: list[list[int]],
    validation_words: list[list[int]],
    *,
    crop: int,
    rotate: float,
    epochs: int,
    batch: int,
    sentences_per_epoch: int | None,
    grouped: bool,
    learning_rate: float,
    decay: float,
    decay_every: int,
    margin: float,
    clip: float,
    shared_negatives: bool,
    edges: Edges | None,
    seed: int,
    device: torch.device,
    tell: Callable[[dict[str, Any]], None],
) -> Fitted:
    """Train a model and keep its best epoch (METHOD 5).

    Args:
        model: freshly built; trained in place, on `device`.
        images: (images, size, size, 3) uint8 of the whole dataset.
        graphs: of the whole dataset.
        train: images and sentences to learn from.
        validation: images and sentences to choose the epoch by.
        train_words: word numbers of each training sentence.
        validation_words: word numbers of each validation sentence.
        crop: size the model sees, pixels.
        rotate: largest random rotation, degrees.
        epochs: passes over the training images.
        batch: pairs a step.
        sentences_per_epoch: sentences drawn for each image and epoch; None takes all.
        grouped: see `drawn_pairs`.
        learning_rate: Adam's step size.
        decay: factor on it every `decay_every` epochs.
        decay_every: epochs.
        margin: of the hinge, cosine units.
        clip: largest norm of the gradient.
        shared_negatives: see `positives`.
        edges: how DREA weighed the edges, where regions move with their picture; None leaves them.
        seed: of shuffling, drawing and turning.
        device: where to compute.
        tell: called with one row of history after every epoch.
    """
    draw = np.random.default_rng(seed)
    turn = torch.Generator().manual_seed(seed % 2**63)
    texts = torch.from_numpy(np.unique(train.sentences, return_inverse=True)[1])
    owners = torch.from_numpy(train.image_of_sentence)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, decay_every, decay)
    best = Fitted({}, 0, -1.0, history=[])
    for epoch in tqdm(range(1, epochs + 1), desc="epochs", disable=None):
        model.train()
        began, total = time.perf_counter(), torch.zeros((), device=device)
        pairs = drawn_pairs(train.image_of_sentence, sentences_per_epoch, draw, grouped=grouped)
        for some in batches(pairs, batch):
            mine, place = np.unique(train.image_of_sentence[some], return_inverse=True)
            rows = [train.rows[i] for i in mine]  # an image is encoded once a step
            views = drawn_views(len(rows), crop / images.shape[1], rotate, turn)
            pixels = turned(read(images, rows).to(device), views, crop)
            graph = graphs.batch(rows, device)
            if edges is not None:
                graph = moved(graph, views, edges)
            words, lengths = pad([train_words[i] for i in some])
            spared = positives(owners[some], texts[some], shared_negatives=shared_negatives)
            optimiser.zero_grad(set_to_none=True)
            similarity = model(pixels, graph, words.to(device), lengths)
            loss = hinge_loss(similarity[place], spared.to(device), margin)
            loss.backward()
            clip_grad_norm_(model.parameters(), clip)  # after backward: before it nothing is there
            optimiser.step()
            total += loss.detach()
        row = {
            "epoch": epoch,
            "loss": total.item() / len(pairs),
            "learning_rate": schedule.get_last_lr()[0],
            "pairs_a_second": len(pairs) / (time.perf_counter() - began),
        }
        schedule.step()
        found = validate(
            model,
            images,
            graphs,
            validation,
            validation_words,
            crop=crop,
            batch=batch,
            device=device,
        )
        if found["mr"] > best.mr:
            best = replace(best, state=snapshot(model), epoch=epoch, mr=found["mr"])
        best.history.append(row | {key: found[key] for key in RECALLS})
        tell(best.history[-1])
    return best


def snapshot(model: GaLR) -> dict[str, torch.Tensor]:
    """A copy of the weights on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def drawn_pairs(
    image_of_sentence: np.ndarray,
    sentences: int | None,
    draw: np.random.Generator,
    *,
    grouped: bool,
) -> np.ndarray:
    """Shuffle the pairs of one epoch; a pair is named by its sentence.

    Args:
        image_of_sentence: (sentences,) int, non-decreasing.
        sentences: how many of each image to draw; None takes all; an image with fewer gives all.
        draw: of random numbers.
        grouped: keep an image's pairs together, so that a step encodes its picture once for all of
            them; otherwise all pairs are shuffled freely, as released.

    Returns:
        Sentence numbers, each at most once.
    """
    order = draw.permutation(len(image_of_sentence))
    by_image = order[np.argsort(image_of_sentence[order], kind="stable")]
    owners = image_of_sentence[by_image]
    turn = np.arange(len(owners)) - np.searchsorted(owners, owners)  # 0, 1, … within an image
    taken = by_image if sentences is None else by_image[turn < sentences]
    if not grouped:
        return draw.permutation(taken)
    shuffled = draw.permutation(int(owners.max()) + 1)
    return taken[np.argsort(shuffled[image_of_sentence[taken]], kind="stable")]


def batches(pairs: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """Cut into batches; a last one of a single pair has no negatives and is left out."""
    for start in range(0, len(pairs), batch):
        if len(pairs) - start > 1:
            yield pairs[start : start + batch]


def validate(
    model: GaLR,
    images: h5py.Dataset,
    graphs: Graphs,
    part: Part,
    words: list[list[int]],
    *,
    crop: int,
    batch: int,
    device: torch.device,
) -> dict[str, float]:
    """Recalls and mR of a part, percent; each image and sentence is encoded once."""
    model.eval()
    seen = embed_images(model, images, graphs, part.rows, crop=crop, batch=batch, device=device)
    said = embed_sentences(model, words, batch=batch, device=device)
    return scores(ranks(seen @ said.T, part.image_of_sentence))
