"""A trained model for use from Python, see `galr.load`."""

from galr.encoder.encoder import Encoder, open_encoder

__all__ = ["Encoder", "open_encoder"]
