"""GaLR: search aerial images with sentences, and sentences with images.

A trained model is opened with `galr.load`; everything else is a stage, `galr --help`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galr.encoder import Encoder

__version__ = "0.1.0"


def load(path: str | Path, *, device: str = "auto", batch: int = 64) -> "Encoder":
    """Open a trained model to encode images and sentences with.

    Three lines find the sentence that fits a picture best, here with a model that looks at no regions:

        >>> encoder = galr.load("results/demo/global/fold0")
        >>> sentences = encoder.encode_sentences(["two planes beside a building", "a ship at a pier"])
        >>> best = (encoder.encode_images(["airport.png"]) @ sentences.T).argmax(axis=1)

    Args:
        path: a run's folder results/<dataset>/<variant>/fold<k>, its checkpoint.pt, or what `galr export`
            wrote.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        batch: images or sentences at a time.

    Raises:
        StoreError: there is no model, or it is damaged, foreign, or of another version.
        DeviceError: this machine has no such device.
        ConfigError: no batch.
    """
    from galr.encoder import open_encoder  # torch and all: `import galr` is to stay light

    return open_encoder(Path(path), device=device, batch=batch)
