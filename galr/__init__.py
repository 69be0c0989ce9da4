"""GaLR: search aerial images with sentences, and sentences with images."""

__version__ = "0.1.0"
