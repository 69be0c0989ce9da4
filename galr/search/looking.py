"""Pictures as a trained model sees them: resized, and with the graphs of their regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from galr.model.galr import GaLR
from galr.train.embed import embed_images_in_memory, empty_graphs

if TYPE_CHECKING:  # it loads mmdet, and a model without a local branch finds no regions
    from galr.search.finding import Finder


@dataclass(frozen=True)
class Looker:
    """Turns pictures into embeddings.

    model: in evaluation mode, on `device`.
    finder: of regions; None for a model without a local branch.
    size: side in pixels that the dataset's pictures were stored at.
    crop: side in pixels that the model sees.
    device: where to compute.
    """

    model: GaLR
    finder: "Finder | None"
    size: int
    crop: int
    device: torch.device

    def embed(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Encode some RGB pictures of any sizes at once, each resized as a dataset's are.

        Returns:
            (pictures, embedding) float32, unit rows.
        """
        square = (self.size, self.size)
        stored = [np.asarray(each.resize(square, Image.Resampling.BILINEAR)) for each in pictures]
        graph = empty_graphs(len(pictures)) if self.finder is None else self.finder.graphs(pictures)
        return embed_images_in_memory(
            self.model, stored, graph, input_size=self.crop, device=self.device
        )
