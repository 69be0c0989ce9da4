"""Embeddings of images and of sentences, each encoded once, and the recalls of a split that follow."""

from collections.abc import Sequence

import numpy as np
import torch

from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.ranks import compute_ranks
from galr.model.galr import GaLR, GraphBatch
from galr.model.text import pad_tokens
from galr.progress import ProgressBar
from galr.train.augment import resize
from galr.train.graph_store import GraphStore
from galr.train.image_store import ImageStore
from galr.train.splits import SplitData


@torch.inference_mode()
def embed_images(
    model: GaLR,
    images: ImageStore,
    graphs: GraphStore,
    rows: Sequence[int],
    *,
    input_size: int,
    batch_size: int,
) -> np.ndarray:
    """Encode images of a dataset, each once.

    Args:
        model: in evaluation mode, on the device of `images`.
        images: holds at least the rows.
        graphs: of the same dataset, on the same device.
        rows: (B,) rows of the images to encode.
        input_size: side of the model's input in pixels.
        batch_size: images at a time.

    Returns:
        (B, embed_dim) float32, unit rows.
    """
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    bar = ProgressBar(batches, "encoding images", unit="batch", leave=False, delay=2)
    embeddings = [
        model.encode_images(resize(pixels, input_size), graphs.batch(batch))
        for batch, pixels in zip(bar, images.batches(batches), strict=True)
    ]
    return torch.cat(embeddings).float().cpu().numpy()


@torch.inference_mode()
def embed_images_in_memory(
    model: GaLR,
    images: Sequence[np.ndarray],
    graph: GraphBatch,
    *,
    input_size: int,
    device: torch.device,
) -> np.ndarray:
    """Encode a single batch of images that are in memory.

    Args:
        model: in evaluation mode, on `device`.
        images: (B,) images, (size, size, 3) uint8 each, resized as the dataset stores them.
        graph: of the same images, on any device.
        input_size: side of the model's input in pixels.
        device: where to compute.

    Returns:
        (B, embed_dim) float32, unit rows.
    """
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(device)
    on_device = GraphBatch(*(table.to(device) for table in graph))
    return model.encode_images(resize(pixels, input_size), on_device).float().cpu().numpy()


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
    for start in range(0, len(distinct), batch_size):
        padded, lengths = pad_tokens(
            [list(sentence) for sentence in distinct[start : start + batch_size]]
        )
        embeddings.append(model.encode_sentences(padded.to(device, non_blocking=True), lengths))
    table = torch.cat(embeddings).float().cpu().numpy()
    return table[[row_of[tuple(sentence)] for sentence in token_ids]]


def validate(
    model: GaLR,
    images: ImageStore,
    graphs: GraphStore,
    split: SplitData,
    token_ids: list[list[int]],
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
        token_ids: (sentences,) token ids of the split's sentences.
        input_size: side of the model's input in pixels.
        batch_size: images or sentences at a time.

    Returns:
        Percentages by name, `mr` and recalls such as `i2t_r1`.
    """
    model.eval()
    image_embeddings = embed_images(
        model, images, graphs, split.rows, input_size=input_size, batch_size=batch_size
    )
    sentence_embeddings = embed_sentences(
        model, token_ids, batch_size=batch_size, device=images.device
    )
    similarity = image_embeddings @ sentence_embeddings.T
    return retrieval_metrics(compute_ranks(similarity, split.image_of_sentence))
