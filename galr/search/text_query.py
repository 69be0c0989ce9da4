"""Sentences as queries: the text side of a trained model alone, small and quick to load."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galr.data.vocabulary import Vocabulary, tokenize
from galr.errors import ConfigError, StoreError
from galr.io.atomic import atomic_write
from galr.model.text import SentenceEncoder, build_text_encoder, pad_tokens

ENCODER_VERSION = 2
STATE_PREFIX = "text."  # what the model calls its sentence encoder
ENCODER_KEYS = ("text", "words", "word_size", "text_size", "text_dropout", "embedding")


@dataclass(frozen=True)
class TextEncoder:
    """Turns sentences into embeddings.

    encoder: in evaluation mode, on the CPU.
    vocabulary: the words it knows.
    max_words: a longer sentence is cut.
    """

    encoder: SentenceEncoder
    vocabulary: Vocabulary
    max_words: int

    def embed(self, sentence: str) -> np.ndarray:
        """Encode a sentence: (embedding,) float32 of length 1.

        Raises:
            ConfigError: it has no word, or none that the model knows.
        """
        if not tokenize(sentence):
            raise ConfigError(f"the query '{sentence}' has no word; say what the picture shows")
        if len(self.unknown_words(sentence)) == len(set(tokenize(sentence))):
            raise ConfigError(
                f"the model knows no word of '{sentence}', so what it found would mean nothing;"
                " say it in the words of its dataset"
            )
        words, lengths = pad_tokens(self.vocabulary.encode([sentence], self.max_words))
        with torch.inference_mode():
            return self.encoder(words, lengths)[0].numpy()

    def unknown_words(self, sentence: str) -> list[str]:
        """Words of a sentence that the model never learnt, each once; to it they are all the same."""
        known = set(self.vocabulary.tokens)
        return [word for word in dict.fromkeys(tokenize(sentence)) if word not in known]


def write_text_encoder(
    path: Path,
    architecture: dict[str, Any],
    state: dict[str, torch.Tensor],
    words: list[str],
    max_words: int,
) -> None:
    """Store the text side of a model, whole or not at all.

    Args:
        path: where.
        architecture: of the whole model, as its checkpoint says.
        state: weights of the whole model.
        words: its vocabulary.
        max_words: how long its sentences may be.
    """
    encoder = {key: architecture[key] for key in ENCODER_KEYS}
    own = {
        name.removeprefix(STATE_PREFIX): each
        for name, each in state.items()
        if name.startswith(STATE_PREFIX)
    }
    payload = {"encoder": encoder, "state": own, "words": words, "max_words": max_words}
    with atomic_write(path) as partial:
        torch.save({"kind": "sentence-encoder", "version": ENCODER_VERSION, **payload}, partial)


def read_text_encoder(path: Path) -> TextEncoder:
    """Load the text side of a model.

    Raises:
        StoreError: it is missing, damaged, foreign or of another version.
    """
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
        kind, version = payload["kind"], payload["version"]
        if (kind, version) != ("sentence-encoder", ENCODER_VERSION):
            raise StoreError(
                f"{path} is format {version} of {kind}, this code reads {ENCODER_VERSION} of sentence-encoder;"
                " run galr index again"
            )
        encoder = build_text_encoder(**payload["encoder"]).eval()
        encoder.load_state_dict(payload["state"])
        return TextEncoder(encoder, Vocabulary(tuple(payload["words"])), payload["max_words"])
    except StoreError:
        raise
    except Exception as error:  # torch raises whatever the damaged bytes happen to trip on
        raise StoreError(
            f"{path} is missing or damaged ({type(error).__name__}); run galr index again"
        ) from error
