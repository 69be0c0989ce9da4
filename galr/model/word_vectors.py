"""Word vectors that the embedding of `bigru` may start from (our extension): of a file, or of the packaged MiniLM."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from galr.errors import ConfigError, StoreError
from galr.model.text import BiGRU

SPECIAL_IDS = 2  # before the first word: padding and the unknown word


def load_word_vectors(encoder: BiGRU, vocabulary: Sequence[str], source: str) -> int:
    """Start the embeddings of words from given vectors, in place; words without one keep their random numbers.

    Args:
        encoder: the model's sentence encoder.
        vocabulary: words in order of their ids.
        source: a file of vectors as text, a word and its numbers a line (GloVe's, or word2vec's with its first line of
            counts), or word2vec's binary form (`.bin`); or `package`, the embeddings of the packaged all-MiniLM-L6-v2,
            of a word of several parts their mean.

    Returns:
        Number of words that have a vector.

    Raises:
        ConfigError: there is no such file, or its vectors have another width than `model.word_dim`.
        StoreError: the file is damaged or holds something else.
        ExtraError: the package is not installed.
    """
    width = encoder.embedding.embedding_dim
    row_of = {word: row for row, word in enumerate(vocabulary, start=SPECIAL_IDS)}
    found: set[str] = set()
    with torch.no_grad():
        for word, vector in _vectors(vocabulary, source):
            if len(vector) != width:
                raise ConfigError(
                    f"model.word_vectors: {source} has vectors of {len(vector)} numbers, and model.word_dim is {width};"
                    f" set word_dim to {len(vector)}"
                )
            if word in row_of and word not in found:
                encoder.embedding.weight[row_of[word]] = torch.from_numpy(vector)
                found.add(word)
    return len(found)


def _vectors(vocabulary: Sequence[str], source: str) -> Iterator[tuple[str, np.ndarray]]:
    """Words and their vectors, (width,) float32."""
    if source == "package":
        return _package_vectors(vocabulary)
    path = Path(source)
    if not path.is_file():
        raise ConfigError(
            f"model.word_vectors: no file {source}; give none, package, or a file of vectors as GloVe or word2vec"
            " publish them"
        )
    return _read_binary(path) if path.suffix == ".bin" else _read_text(path)


def _read_text(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Read a word and its numbers from each line.

    Raises:
        StoreError: a line is something else.
    """
    width: int | None = None
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            parts = line.rstrip().split(" ")
            if number == 1 and len(parts) == 2:
                continue  # word2vec's counts
            width = width or len(parts) - 1
            # GloVe's words may hold spaces, so the numbers are counted from the end.
            word, numbers = " ".join(parts[:-width]), parts[-width:]
            try:
                vector = np.array(numbers, dtype=np.float32)
            except ValueError as error:
                raise StoreError(
                    f"{path}, line {number}, is no word with {width} numbers; give vectors as text, a word and its"
                    " numbers a line"
                ) from error
            if not word:
                raise StoreError(f"{path}, line {number}, has no word or too few numbers")
            yield word, vector


def _read_binary(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Read word2vec's binary form: counts on a line, then each word, a space, and its numbers.

    Raises:
        StoreError: the file is cut short or something else.
    """
    with path.open("rb") as file:
        try:
            count, width = (int(part) for part in file.readline().split())
        except ValueError as error:
            raise StoreError(
                f"{path} does not begin with two counts; give word2vec's file"
            ) from error
        for _ in range(count):
            word = bytearray()
            while (char := file.read(1)) not in (b" ", b""):
                word += char
            values = file.read(4 * width)
            if len(values) != 4 * width:
                raise StoreError(f"{path} is cut short; download it again")
            yield word.decode("utf-8", "replace").strip(), np.frombuffer(values, np.float32).copy()


def _package_vectors(vocabulary: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """The mean of the embeddings of each word's parts in the packaged transformer."""
    # Imported here: files of vectors need no transformer.
    from tokenizers import Tokenizer

    from galr.model.pretrained import read_transformer

    pretrained = read_transformer("package")
    tokenizer = Tokenizer.from_str(pretrained.tokenizer)
    table = pretrained.state_dict["embeddings.word_embeddings.weight"]
    unknown = tokenizer.token_to_id("[UNK]")
    for word in vocabulary:
        ids = tokenizer.encode(word, add_special_tokens=False).ids
        if ids and unknown not in ids:
            yield word, table[ids].mean(dim=0).numpy()
