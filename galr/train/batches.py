"""Batches of image-sentence pairs for training: sampled, augmented, and resumable at any step."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from galr.features.views import ViewParams, fixed_views
from galr.graphs.edges import EdgeConfig
from galr.model.galr import GraphBatch, ImageFeatures, PixelStatistics
from galr.model.text import pad_tokens
from galr.train.augment import rotate_crop, sample_turns, sample_views, transform_graph
from galr.train.feature_store import FeatureStore
from galr.train.graph_store import GraphStore
from galr.train.image_store import ImageStore
from galr.train.loss import positive_mask
from galr.train.splits import SplitData


class TokenBatch(NamedTuple):
    """The token ids of some sentences."""

    token_ids: Tensor  # (P, L) int64, padded
    lengths: Tensor  # (P,) int64, on the CPU


class Augmentation(NamedTuple):
    """How a training image is rotated and cropped."""

    kind: str  # `rotate`, as released, or `turns`
    max_rotation: float  # of `rotate`, degrees
    min_crop: float  # of `turns`, smallest side of a crop over side of the image


class Batch(NamedTuple):
    """The pairs of one training step, on the device.

    Several processes divide the B pairs of a step among them, in order: each gets P of the pairs, and all of
    `positive_mask`.
    """

    # of each image of the pairs once: (I, 3, input_size, input_size) float32, normalized; or a frozen encoder's features
    images: Tensor | ImageFeatures
    graph: GraphBatch  # of the I images
    # of the P sentences: their tokens; or a frozen encoder's features, (P, width) float32
    sentences: TokenBatch | Tensor
    image_index: Tensor  # (P,) int64, each pair's image among the I
    positive_mask: Tensor  # (B, B) bool, pairs that are not negatives of each other


class PairBatches:
    """The batches of one epoch after another; an iteration can be stopped and resumed at any step.

    Args:
        images: holds at least the rows of `split`; stored features are taken under one of their fixed views, drawn
            at random.
        graphs: of the whole dataset.
        split: images and sentences to train on.
        sentences: token ids of each sentence of `split`; or their features, (sentences, width) float.
        input_size: side of the model's input in pixels.
        augmentation: how images are rotated and cropped; stored features have their own views.
        statistics: what pixels are normalized by.
        batch_size: pairs in a step, over all processes.
        sentences_per_epoch: sentences sampled for each image and epoch; None takes all.
        group_by_image: see `sample_pairs`.
        shared_negatives: see `positive_mask`.
        edges: how DREA weighs edges, to transform regions with their image; None leaves regions as they are.
        seed: of shuffling, sampling and augmentation; the same in every process.
        rank: number of this process, from 0.
        world_size: number of processes.
    """

    def __init__(
        self,
        images: ImageStore | FeatureStore,
        graphs: GraphStore,
        split: SplitData,
        sentences: list[list[int]] | Tensor,
        *,
        input_size: int,
        augmentation: Augmentation,
        statistics: PixelStatistics,
        batch_size: int,
        sentences_per_epoch: int | None,
        group_by_image: bool,
        shared_negatives: bool,
        edges: EdgeConfig | None,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._images = images
        self._graphs = graphs
        self._split = split
        self._rows = np.array(split.rows)
        self._input_size, self._augmentation = input_size, augmentation
        self._statistics = statistics
        self._batch_size, self._min_pairs = batch_size, max(2, world_size)
        self._sentences_per_epoch, self._group_by_image = sentences_per_epoch, group_by_image
        self._shared_negatives, self._edges = shared_negatives, edges
        self._rank, self._world_size = rank, world_size
        self._pair_rng = np.random.default_rng(seed)
        self._view_rng = torch.Generator().manual_seed(seed % 2**63)
        self._features: Tensor | None = None
        if isinstance(sentences, Tensor):
            self._features = sentences.to(images.device)
        else:
            padded, self._lengths = pad_tokens(sentences)
            self._token_ids = padded.to(images.device)
        text_ids = np.unique(split.sentences, return_inverse=True)[1]
        self._text_ids = torch.from_numpy(text_ids).to(images.device)
        self._image_ids = torch.from_numpy(split.image_of_sentence).to(images.device)
        self._pairs = np.zeros(0, dtype=np.int64)  # of the current epoch, in order
        self._consumed = 0  # pairs of it in batches that were yielded
        self._finished = True  # whether the next call of `epoch` begins a new one

    @property
    def num_pairs(self) -> int:
        """Number of pairs in an epoch, the same in every epoch."""
        counts = np.bincount(self._split.image_of_sentence)
        if self._sentences_per_epoch is not None:
            counts = counts.clip(max=self._sentences_per_epoch)
        return int(counts.sum())

    @property
    def num_steps(self) -> int:
        """Number of batches of an epoch, the same in every epoch."""
        pairs = np.empty(self.num_pairs)
        return sum(1 for _ in split_batches(pairs, self._batch_size, self._min_pairs))

    @property
    def consumed(self) -> int:
        """Number of pairs of the current epoch in batches that were yielded."""
        return 0 if self._finished else self._consumed

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches that remain of the current epoch, or those of a new epoch."""
        if self._finished:
            self._pairs, self._consumed, self._finished = self._sample_pairs(), 0, False
        remaining = self._pairs[self._consumed :]
        batches = list(split_batches(remaining, self._batch_size, self._min_pairs))
        shares = [self._process_share(pairs) for pairs in batches]
        images = [np.unique(self._split.image_of_sentence[share]) for share in shares]
        if isinstance(self._images, FeatureStore):
            for pairs, share, index in zip(batches, shares, images, strict=True):
                self._consumed += len(pairs)
                yield self._build_batch(pairs, share, index, None)
        else:
            pixels = self._images.batches(self._rows[index] for index in images)
            for pairs, share, index, stored in zip(batches, shares, images, pixels, strict=True):
                self._consumed += len(pairs)
                yield self._build_batch(pairs, share, index, stored)
        self._finished = True

    def state(self) -> dict[str, Any]:
        """The position in the epoch and the random states, as tensors and plain values."""
        return {
            "pairs": torch.from_numpy(self._pairs),
            "consumed": self._consumed,
            "finished": self._finished,
            "pair_rng": json.dumps(self._pair_rng.bit_generator.state),
            "view_rng": self._view_rng.get_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the `state` of another instance with the same arguments."""
        self._pairs = state["pairs"].numpy()
        self._consumed, self._finished = state["consumed"], state["finished"]
        self._pair_rng.bit_generator.state = json.loads(state["pair_rng"])
        self._view_rng.set_state(state["view_rng"])

    def _sample_pairs(self) -> np.ndarray:
        """The pairs of a new epoch, (pairs,) int, in order."""
        return sample_pairs(
            self._split.image_of_sentence,
            self._sentences_per_epoch,
            self._pair_rng,
            group_by_image=self._group_by_image,
        )

    def _process_share(self, pairs: np.ndarray) -> np.ndarray:
        """This process's pairs of a step; a remainder that cannot be divided equally is left out."""
        count = len(pairs) // self._world_size
        return pairs[self._rank * count : (self._rank + 1) * count]

    def _build_batch(
        self, pairs: np.ndarray, share: np.ndarray, index: np.ndarray, stored: Tensor | None
    ) -> Batch:
        """Build the batch of a step.

        Args:
            pairs: (B or more,) int, the step's pairs in all processes.
            share: (P,) int, this process's pairs.
            index: (I,) int, distinct images of the share, as indices into the split's rows.
            stored: (I, 3, size, size) uint8, these images; None where features are stored.
        """
        device = self._images.device
        images: Tensor | ImageFeatures
        if isinstance(self._images, FeatureStore):
            numbers = self._sample_fixed_views(pairs, index)
            views = fixed_views(numbers)
            images = self._images.batch(self._rows[index], numbers.numpy())
        else:
            assert stored is not None
            views = self._sample_views(pairs, index, self._images.image_size)
            images = rotate_crop(stored, views, self._input_size, self._statistics)
        graph = self._graphs.batch(self._rows[index])
        if self._edges is not None:
            graph = transform_graph(graph, views, self._edges)
        in_step = torch.from_numpy(pairs[: len(share) * self._world_size])
        in_step = in_step.to(device, non_blocking=True)
        image_index = np.searchsorted(index, self._split.image_of_sentence[share])
        return Batch(
            images,
            graph,
            self._batch_sentences(torch.from_numpy(share)),
            torch.from_numpy(image_index).to(device, non_blocking=True),
            positive_mask(
                self._image_ids[in_step],
                self._text_ids[in_step],
                shared_negatives=self._shared_negatives,
            ),
        )

    def _batch_sentences(self, share: Tensor) -> TokenBatch | Tensor:
        """Tokens or features of the sentences of a share, (P,) int64 on the CPU."""
        on_device = share.to(self._images.device, non_blocking=True)
        if self._features is not None:
            return self._features[on_device]
        lengths = self._lengths[share]
        return TokenBatch(self._token_ids[on_device, : int(lengths.max())], lengths)

    def _sample_views(self, pairs: np.ndarray, index: np.ndarray, image_size: int) -> ViewParams:
        """Sample the views of this process's images.

        Views are sampled for the images of all processes, so that the random states of all stay alike.
        """
        in_step = np.unique(self._split.image_of_sentence[pairs])
        kind, max_rotation, min_crop = self._augmentation
        if kind == "turns":
            views = sample_turns(len(in_step), min_crop, self._view_rng)
        else:
            crop_fraction = self._input_size / image_size
            views = sample_views(len(in_step), crop_fraction, max_rotation, self._view_rng)
        own = torch.from_numpy(np.searchsorted(in_step, index))
        return ViewParams(*(table[own] for table in views))

    def _sample_fixed_views(self, pairs: np.ndarray, index: np.ndarray) -> Tensor:
        """Sample the number of the stored view of each of this process's images, (I,) int64."""
        assert isinstance(self._images, FeatureStore)
        in_step = np.unique(self._split.image_of_sentence[pairs])
        numbers = torch.randint(self._images.views, (len(in_step),), generator=self._view_rng)
        return numbers[torch.from_numpy(np.searchsorted(in_step, index))]


def sample_pairs(
    image_of_sentence: np.ndarray,
    sentences_per_image: int | None,
    rng: np.random.Generator,
    *,
    group_by_image: bool,
) -> np.ndarray:
    """Sample and shuffle the pairs of one epoch; a pair is identified by its sentence.

    Args:
        image_of_sentence: (sentences,) int, non-decreasing.
        sentences_per_image: how many sentences of each image to sample; an image with fewer gives all; None
            takes all.
        rng: random generator.
        group_by_image: keep the pairs of an image together, so that a step encodes the image once for all of
            them; otherwise all pairs are shuffled freely, as in the released code.

    Returns:
        (pairs,) int, indices of sentences, each at most once.
    """
    order = rng.permutation(len(image_of_sentence))
    by_image = order[np.argsort(image_of_sentence[order], kind="stable")]
    owners = image_of_sentence[by_image]
    number = np.arange(len(owners)) - np.searchsorted(owners, owners)  # 0, 1, … within an image
    sampled = by_image if sentences_per_image is None else by_image[number < sentences_per_image]
    if not group_by_image:
        return rng.permutation(sampled)
    image_order = rng.permutation(int(owners.max()) + 1)
    return sampled[np.argsort(image_order[image_of_sentence[sampled]], kind="stable")]


def split_batches(pairs: np.ndarray, batch_size: int, min_pairs: int) -> Iterator[np.ndarray]:
    """Split pairs into batches; a last batch of fewer than `min_pairs` is left out.

    A pair needs another one as a negative, and every process needs a pair.

    Args:
        pairs: (pairs,) int.
        batch_size: pairs in a batch.
        min_pairs: fewest pairs of a batch.

    Yields:
        (batch_size or fewer,) int.
    """
    for start in range(0, len(pairs), batch_size):
        if len(pairs) - start >= min_pairs:
            yield pairs[start : start + batch_size]
