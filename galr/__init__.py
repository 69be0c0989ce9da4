"""GaLR: search aerial images with sentences, and sentences with images.

`galr.load` opens a trained model; everything else is a command, see `galr --help`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from galr.errors import explain_missing_extra

if TYPE_CHECKING:
    from galr.encoder import Encoder

__version__ = "0.1.0"


def load(
    path: str | Path,
    *,
    device: str = "auto",
    batch: int = 64,
    detector: str | Path | None = None,
    weights: str | Path | None = None,
) -> "Encoder":
    """Open a trained model to encode images and sentences.

    These lines find the most similar sentence to an image:

        >>> encoder = galr.load("results/demo/corrected/fold0")
        >>> sentences = encoder.encode_sentences(["two planes beside a building", "a ship at a pier"])
        >>> best = encoder.similarity(encoder.encode_images("airport.png"), sentences).argmax(axis=1)

    A model with regions finds those of an image by the detector of its training. The files of the detector are looked
    for in the workflow around the model, then in that of the current folder; an export carries the detector file.

    Args:
        path: a run's folder `results/<dataset>/<variant>/fold<k>`, its checkpoint.pt, or an export of
            `galr export`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch: images or sentences at a time, which bounds the memory.
        detector: the detector file, where it lies elsewhere; it must be that of the training.
        weights: the detector's weights, likewise.

    Raises:
        StoreError: the model is missing, damaged, foreign, or of another version.
        DeviceError: this machine has no such device.
        ConfigError: batch is less than 1, or a detector is given to a model without regions.
        ExtraError: PyTorch is not installed.
    """
    with explain_missing_extra():
        from galr.encoder import open_encoder  # imports torch; `import galr` does not

    return open_encoder(
        Path(path),
        device=device,
        batch=batch,
        detector=None if detector is None else Path(detector),
        weights=None if weights is None else Path(weights),
    )
