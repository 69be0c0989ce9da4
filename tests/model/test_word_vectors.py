"""Word vectors: files as GloVe and word2vec publish them, and what is refused."""

import numpy as np
import pytest
import torch

from galr.errors import ConfigError, StoreError
from galr.model.text import BiGRU
from galr.model.word_vectors import load_word_vectors

WORDS = ("beside", "plane", "the")
VECTORS = {"plane": [1.0, -2.5, 3.0], "hangar": [4.0, 5.0, 6.0], "the": [0.5, 0.25, -1.0]}


def build_encoder(width=3):
    torch.manual_seed(0)
    return BiGRU(2 + len(WORDS), width, 4, 5)


def write_text(path, *, counts):
    lines = [f"{word} {' '.join(map(str, numbers))}" for word, numbers in VECTORS.items()]
    path.write_text("\n".join([f"{len(VECTORS)} 3"] * counts + lines) + "\n", encoding="utf-8")
    return path


def write_binary(path):
    content = f"{len(VECTORS)} 3\n".encode()
    for word, numbers in VECTORS.items():
        content += f"{word} ".encode() + np.array(numbers, np.float32).tobytes() + b"\n"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", ["glove", "word2vec", "binary"])
def test_words_start_from_their_vectors_and_others_stay_random(tmp_path, form):
    path = tmp_path / ("vectors.bin" if form == "binary" else "vectors.txt")
    write_binary(path) if form == "binary" else write_text(path, counts=form == "word2vec")
    encoder, random = build_encoder(), build_encoder().embedding.weight
    assert load_word_vectors(encoder, WORDS, str(path)) == 2
    weight = encoder.embedding.weight
    for word in ("plane", "the"):
        assert weight[2 + WORDS.index(word)].tolist() == VECTORS[word]
    for row in (0, 1, 2 + WORDS.index("beside")):
        assert torch.equal(weight[row], random[row])


def test_a_word_of_glove_may_hold_spaces(tmp_path):
    (tmp_path / "v.txt").write_text("plane 1 2 3\n. . . 4 5 6\nthe 7 8 9\n", encoding="utf-8")
    assert load_word_vectors(build_encoder(), WORDS, str(tmp_path / "v.txt")) == 2


def test_the_packages_vectors_are_its_own_embeddings():
    encoder = build_encoder(384)
    assert load_word_vectors(encoder, WORDS, "package") == 3
    vectors = encoder.embedding.weight[2:]
    assert len({tuple(row) for row in vectors.tolist()}) == 3 and vectors.abs().max() < 1


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("none.txt", None, ConfigError, "no file .*none.txt; give none, package, or a file"),
        ("v.txt", b"plane 1 2\n", ConfigError, "vectors of 2 numbers, and model.word_dim is 3"),
        ("v.txt", b"plane 1 2 3\nthe one 2 3\n", StoreError, "line 2, is no word with 3 numbers"),
        ("v.txt", b"plane 1 2 3\n1 2 3\n", StoreError, "line 2, has no word"),
        ("v.bin", b"many words\n", StoreError, "does not begin with two counts"),
        ("v.bin", b"2 3\nplane \x00\x00", StoreError, "is cut short"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, error, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        load_word_vectors(build_encoder(), WORDS, str(tmp_path / name))
    assert "\n" not in str(caught.value)
