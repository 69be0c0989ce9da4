"""What a training step takes: pairs drawn, pictures turned, regions moved, and who is nobody's negative."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from galr.graphs.edges import EdgeConfig
from galr.model.galr import GraphBatch
from galr.model.text import pad_tokens
from galr.train.augment import rotate_crop, sample_views, transform_graph
from galr.train.embed import GraphStore
from galr.train.image_store import ImageStore
from galr.train.loss import positive_mask
from galr.train.splits import SplitData


class Batch(NamedTuple):
    """One step's work, on the device.

    Where several processes share a step, its B pairs are divided among them in order: a process sees P of
    them, and all of `spared`.
    """

    pixels: Tensor  # (I, 3, crop, crop) float32, normalised: each image of the P pairs once
    graph: GraphBatch  # of the I images
    token_ids: Tensor  # (P, L) int64
    lengths: Tensor  # (P,) int64, on the CPU
    image_index: Tensor  # (P,) int64, each pair's image among the I
    positive_mask: Tensor  # (B, B) bool, which pairs are no negatives of each other


class PairBatches:
    """All steps of one epoch after another; it can be stopped anywhere and told to go on (METHOD 5).

    Args:
        pictures: of the dataset's rows that `part` names.
        graphs: of the whole dataset.
        part: images and sentences to learn from.
        words: word numbers of each sentence of `part`.
        crop: size the model sees, pixels.
        rotate: largest random rotation, degrees.
        batch: pairs a step, over all processes.
        sentences_per_epoch: sentences drawn for each image and epoch; None takes all.
        grouped: see `drawn_pairs`.
        shared_negatives: see `positives`.
        edges: how DREA weighed the edges, where regions move with their picture; None leaves them.
        seed: of shuffling, drawing and turning; the same in every process.
        rank: which process this is, from 0.
        world: how many share a step.
    """

    def __init__(
        self,
        images: ImageStore,
        graphs: GraphStore,
        split: SplitData,
        token_ids: list[list[int]],
        *,
        input_size: int,
        max_rotation: float,
        batch_size: int,
        sentences_per_epoch: int | None,
        group_by_image: bool,
        shared_negatives: bool,
        edges: EdgeConfig | None,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._pictures = images
        self._graphs = graphs
        self._part = split
        self._rows = np.array(split.rows)
        self._crop, self._rotate, self._batch = input_size, max_rotation, batch_size
        self._sentences, self._grouped = sentences_per_epoch, group_by_image
        self._shared_negatives, self._edges = shared_negatives, edges
        self._rank, self._world, self._least = rank, world_size, max(2, world_size)
        self._draw = np.random.default_rng(seed)
        self._turn = torch.Generator().manual_seed(seed % 2**63)
        device = images.device
        padded, self._lengths = pad_tokens(token_ids)
        self._words = padded.to(device)
        self._texts = torch.from_numpy(np.unique(split.sentences, return_inverse=True)[1]).to(
            device
        )
        self._owners = torch.from_numpy(split.image_of_sentence).to(device)
        self._pairs = np.zeros(0, dtype=np.int64)  # of the epoch under way
        self._begun = 0  # how many of them belong to steps that were given out
        self._over = True  # whether nobody has asked for the next epoch yet

    @property
    def num_pairs(self) -> int:
        """How many pairs an epoch has; every epoch draws as many."""
        counts = np.bincount(self._part.image_of_sentence)
        return int(
            counts.sum() if self._sentences is None else counts.clip(max=self._sentences).sum()
        )

    @property
    def consumed(self) -> int:
        """How many pairs of the epoch under way belong to steps that were given out."""
        return 0 if self._over else self._begun

    def epoch(self) -> Iterator[Batch]:
        """Give out what is left of the epoch under way, or a whole new one."""
        if self._over:
            self._pairs, self._begun, self._over = self._sample_pairs(), 0, False
        left = list(split_batches(self._pairs[self._begun :], self._batch, self._least))
        shares = [self._process_share(some) for some in left]
        images = [np.unique(self._part.image_of_sentence[share]) for share in shares]
        pictures = self._pictures.batches(self._rows[mine] for mine in images)
        for some, share, mine, shown in zip(left, shares, images, pictures, strict=True):
            self._begun += len(some)
            yield self._build_batch(some, share, mine, shown)
        self._over = True

    def state(self) -> dict[str, Any]:
        """Where it stands: tensors and plain values; `restore` goes on from there."""
        return {
            "pairs": torch.from_numpy(self._pairs),
            "begun": self._begun,
            "over": self._over,
            "draw": json.dumps(self._draw.bit_generator.state),
            "turn": self._turn.get_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another feed of the same arguments stood."""
        self._pairs = state["pairs"].numpy()
        self._begun, self._over = state["begun"], state["over"]
        self._draw.bit_generator.state = json.loads(state["draw"])
        self._turn.set_state(state["turn"])

    def _sample_pairs(self) -> np.ndarray:
        """The pairs of a new epoch, in order."""
        owners = self._part.image_of_sentence
        return sample_pairs(owners, self._sentences, self._draw, group_by_image=self._grouped)

    def _process_share(self, some: np.ndarray) -> np.ndarray:
        """This process's part of a step; what cannot be shared equally is left out."""
        each = len(some) // self._world
        return some[self._rank * each : (self._rank + 1) * each]

    def _build_batch(
        self, some: np.ndarray, share: np.ndarray, mine: np.ndarray, shown: Tensor
    ) -> Batch:
        """Make a step of its pairs, this process's share of them, the share's images and their pictures."""
        device = shown.device
        owners = self._part.image_of_sentence
        everybody = np.unique(
            owners[some]
        )  # views are drawn for all, so that all processes draw alike
        views = sample_views(
            len(everybody), self._crop / self._pictures.image_size, self._rotate, self._turn
        )
        own_views = torch.from_numpy(np.searchsorted(everybody, mine))
        views = views._replace(turn=views.rotation[own_views], shift=views.offset[own_views])
        graph = self._graphs.batch(self._rows[mine])
        if self._edges is not None:
            graph = transform_graph(graph, views, self._edges)
        shared = torch.from_numpy(some[: len(share) * self._world]).to(device, non_blocking=True)
        own = torch.from_numpy(share)
        lengths = self._lengths[own]
        words = self._words[own.to(device, non_blocking=True), : int(lengths.max())]
        place = torch.from_numpy(np.searchsorted(mine, owners[share]))
        return Batch(
            rotate_crop(shown, views, self._crop),
            graph,
            words,
            lengths,
            place.to(device, non_blocking=True),
            positive_mask(
                self._owners[shared], self._texts[shared], shared_negatives=self._shared_negatives
            ),
        )


def sample_pairs(
    image_of_sentence: np.ndarray,
    sentences_per_image: int | None,
    rng: np.random.Generator,
    *,
    group_by_image: bool,
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
    order = rng.permutation(len(image_of_sentence))
    by_image = order[np.argsort(image_of_sentence[order], kind="stable")]
    owners = image_of_sentence[by_image]
    turn = np.arange(len(owners)) - np.searchsorted(owners, owners)  # 0, 1, … within an image
    taken = by_image if sentences_per_image is None else by_image[turn < sentences_per_image]
    if not group_by_image:
        return rng.permutation(taken)
    shuffled = rng.permutation(int(owners.max()) + 1)
    return taken[np.argsort(shuffled[image_of_sentence[taken]], kind="stable")]


def split_batches(pairs: np.ndarray, batch_size: int, min_pairs: int) -> Iterator[np.ndarray]:
    """Cut into batches; a last one of fewer than `least` pairs is left out.

    Two are the fewest that have negatives, and every process needs one.
    """
    for start in range(0, len(pairs), batch_size):
        if len(pairs) - start >= min_pairs:
            yield pairs[start : start + batch_size]
