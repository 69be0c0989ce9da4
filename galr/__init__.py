"""GaLR: search aerial images with sentences, and sentences with images.

`galr.load` opens a trained model; everything else is a command, see `galr --help`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from galr.errors import explain_missing_extra

if TYPE_CHECKING:
    from galr.encoder import Encoder

__version__ = "0.1.0"


def load(path: str | Path, *, device: str = "auto", batch: int = 64) -> "Encoder":
    """Open a trained model to encode images and sentences.

    These three lines find the most similar sentence to an image, with a model without a local branch:

        >>> encoder = galr.load("results/demo/global/fold0")
        >>> sentences = encoder.encode_sentences(["two planes beside a building", "a ship at a pier"])
        >>> best = (encoder.encode_images(["airport.png"]) @ sentences.T).argmax(axis=1)

    Args:
        path: a run's folder `results/<dataset>/<variant>/fold<k>`, its checkpoint.pt, or an export of
            `galr export`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch: images or sentences at a time.

    Raises:
        StoreError: the model is missing, damaged, foreign, or of another version.
        DeviceError: this machine has no such device.
        ConfigError: batch is less than 1.
        ExtraError: PyTorch is not installed.
    """
    with explain_missing_extra():
        from galr.encoder import open_encoder  # imports torch; `import galr` does not

    return open_encoder(Path(path), device=device, batch=batch)
