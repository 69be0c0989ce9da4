"""Embeddings of images and of sentences, each encoded once, and the recalls of a split that follow."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.ranks import compute_ranks
from galr.features.views import fixed_views, resize, show_view
from galr.graphs.edges import EdgeConfig
from galr.model.galr import GaLR, GraphBatch, ImageFeatures
from galr.model.text import pad_tokens
from galr.progress import ProgressBar
from galr.train.augment import transform_graph
from galr.train.feature_store import FeatureStore
from galr.train.graph_store import GraphStore
from galr.train.image_store import ImageStore
from galr.train.splits import SplitData


@torch.inference_mode()
def embed_images(
    model: GaLR,
    images: ImageStore | FeatureStore,
    graphs: GraphStore,
    rows: Sequence[int],
    *,
    input_size: int,
    batch_size: int,
) -> np.ndarray:
    """Encode images of a dataset, each once under each of the model's views.

    Args:
        model: in evaluation mode, on the device of `images`.
        images: holds at least the rows: pixels, or the frozen encoder's features.
        graphs: of the same dataset, on the same device.
        rows: (B,) rows of the images to encode.
        input_size: side of the model's input in pixels.
        batch_size: images at a time.

    Returns:
        (B, embed_dim) float32, unit rows.
    """
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    bar = ProgressBar(batches, "encoding images", unit="batch", leave=False, delay=2)
    stored = iter(()) if isinstance(images, FeatureStore) else images.batches(batches)
    embeddings = []
    for batch in bar:
        graph = graphs.batch(batch)
        features: Iterable[ImageFeatures]
        if isinstance(images, FeatureStore):
            features = [images.batch(batch, view) for view in range(model.views)]
        else:
            features = _features_of_views(model, next(stored), input_size)
        embeddings.append(_embed_views(model, features, graph, graphs.edges))
    return torch.cat(embeddings).float().cpu().numpy()


@torch.inference_mode()
def embed_images_in_memory(
    model: GaLR,
    images: Sequence[np.ndarray],
    graph: GraphBatch,
    *,
    edges: EdgeConfig | None,
    input_size: int,
    device: torch.device,
) -> np.ndarray:
    """Encode a single batch of images that are in memory.

    Args:
        model: in evaluation mode, on `device`.
        images: (B,) images, (size, size, 3) uint8 each, resized as the dataset stores them.
        graph: of the same images, on any device.
        edges: how DREA weighs edges, so that regions follow a view; None leaves them as they are.
        input_size: side of the model's input in pixels.
        device: where to compute.

    Returns:
        (B, embed_dim) float32, unit rows.
    """
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(device)
    on_device = GraphBatch(*(table.to(device) for table in graph))
    features = _features_of_views(model, pixels, input_size)
    return _embed_views(model, features, on_device, edges).float().cpu().numpy()


def _features_of_views(model: GaLR, images: Tensor, input_size: int) -> Iterator[ImageFeatures]:
    """What the image encoder says of each view of (B, 3, size, size) uint8 images, a view at a time."""
    for view in range(model.views):
        shown = show_view(images, view)
        yield model.image_features(resize(shown, input_size, model.pixel_statistics))


def _embed_views(
    model: GaLR,
    features: Iterable[ImageFeatures],
    graph: GraphBatch,
    edges: EdgeConfig | None,
) -> Tensor:
    """Embed each view of the images, and average the embeddings.

    Args:
        model: in evaluation mode.
        features: of each view.
        graph: of the B images as they are.
        edges: how DREA weighs edges; None leaves regions as they are.

    Returns:
        (B, embed_dim) float, unit rows.
    """
    count = len(graph.mask)
    total: Tensor | None = None
    for view, tables in enumerate(features):
        moved = graph
        if view and edges is not None and graph.mask.shape[1]:
            moved = transform_graph(graph, fixed_views(torch.full((count,), view)), edges)
        embedded = model.embed_images(tables, moved)
        total = embedded if total is None else total + embedded
    assert total is not None
    return total if model.views == 1 else normalize(total)


@torch.inference_mode()
def embed_sentence_features(
    model: GaLR, features: Tensor, *, batch_size: int, device: torch.device
) -> np.ndarray:
    """Embed sentences of which a frozen encoder's features are stored.

    Args:
        model: in evaluation mode, on `device`.
        features: (sentences, width) float.
        batch_size: sentences at a time.
        device: where to compute.

    Returns:
        (sentences, embed_dim) float32, unit rows; equal features have rows that are equal to the last bit.
    """
    distinct, row_of = features.unique(dim=0, return_inverse=True)
    parts = [model.embed_sentences(some.to(device)) for some in distinct.split(batch_size)]
    return torch.cat(parts).float().cpu().numpy()[row_of.numpy()]


@torch.inference_mode()
def embed_sentences(
    model: GaLR, token_ids: list[list[int]], *, batch_size: int, device: torch.device
) -> np.ndarray:
    """Encode each distinct sentence once, sentences of similar length together.

    Equal sentences have rows that are equal to the last bit, so they tie in a ranking.

    Args:
        model: in evaluation mode, on `device`.
        token_ids: (sentences,) token ids of each sentence.
        batch_size: sentences at a time.
        device: where to compute.

    Returns:
        (sentences, embed_dim) float32, unit rows, in the order given.
    """
    distinct = sorted(dict.fromkeys(map(tuple, token_ids)), key=len)
    row_of = {sentence: row for row, sentence in enumerate(distinct)}
    embeddings = []
    starts = range(0, len(distinct), batch_size)
    for start in ProgressBar(starts, "encoding sentences", unit="batch", leave=False, delay=2):
        padded, lengths = pad_tokens(
            [list(sentence) for sentence in distinct[start : start + batch_size]]
        )
        embeddings.append(model.encode_sentences(padded.to(device, non_blocking=True), lengths))
    table = torch.cat(embeddings).float().cpu().numpy()
    return table[[row_of[tuple(sentence)] for sentence in token_ids]]


def validate(
    model: GaLR,
    images: ImageStore | FeatureStore,
    graphs: GraphStore,
    split: SplitData,
    sentences: list[list[int]] | Tensor,
    *,
    input_size: int,
    batch_size: int,
) -> dict[str, float]:
    """Recalls and mR of a split, in percent.

    Args:
        model: on the device of `images`; it is left in evaluation mode.
        images: holds at least the split's images.
        graphs: of the same dataset, on the same device.
        split: images and sentences to rank.
        sentences: token ids of the split's sentences; or a frozen encoder's features, (sentences, width) float.
        input_size: side of the model's input in pixels.
        batch_size: images or sentences at a time.

    Returns:
        Percentages by name, `mr` and recalls such as `i2t_r1`.
    """
    model.eval()
    image_embeddings = embed_images(
        model, images, graphs, split.rows, input_size=input_size, batch_size=batch_size
    )
    if isinstance(sentences, Tensor):
        sentence_embeddings = embed_sentence_features(
            model, sentences, batch_size=batch_size, device=images.device
        )
    else:
        sentence_embeddings = embed_sentences(
            model, sentences, batch_size=batch_size, device=images.device
        )
    similarity = image_embeddings @ sentence_embeddings.T
    return retrieval_metrics(compute_ranks(similarity, split.image_of_sentence))
