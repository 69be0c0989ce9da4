"""skip-thoughts' published weights, as small files in their layout."""

import numpy as np
import pytest
import torch

from galr.errors import ConfigError, StoreError
from galr.model.skipthoughts_weights import load_skipthoughts
from galr.model.text import BiGRU, SkipThoughts, pad_tokens

SIZE, UNITS = 5, 7
DICTIONARY = ["UNK", "plane", "two\x85fold", "beside", "großes", "the"]
WORDS = ("beside", "hangar", "plane", "the")  # the dictionary lacks one
SHAPES = {
    "encoder_W": (SIZE, 2 * UNITS),
    "encoder_b": (2 * UNITS,),
    "encoder_U": (UNITS, 2 * UNITS),
    "encoder_Wx": (SIZE, UNITS),
    "encoder_bx": (UNITS,),
    "encoder_Ux": (UNITS, UNITS),
    "decoder_W": (3, 3),
}


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "dictionary.txt").write_bytes("".join(f"{w}\n" for w in DICTIONARY).encode())
    np.save(tmp_path / "utable.npy", random.normal(size=(len(DICTIONARY), SIZE)).astype(np.float32))
    np.savez(
        tmp_path / "uni_skip.npz",
        **{name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()},
    )
    return tmp_path


def build_encoder(size=SIZE, units=UNITS):
    torch.manual_seed(0)
    return SkipThoughts(2 + len(WORDS), size, units, 4, 0.25).eval()


def published_recurrence(folder, words):
    """Compute the formula of the published encoder, word after word, in float64."""
    p = {name: each.astype(float) for name, each in np.load(folder / "uni_skip.npz").items()}
    table = np.load(folder / "utable.npy").astype(float)
    h = np.zeros(UNITS)
    for word in words:
        x = table[DICTIONARY.index(word)]
        gates = 1 / (1 + np.exp(-(x @ p["encoder_W"] + p["encoder_b"] + h @ p["encoder_U"])))
        r, u = gates[:UNITS], gates[UNITS:]
        new = np.tanh(x @ p["encoder_Wx"] + p["encoder_bx"] + r * (h @ p["encoder_Ux"]))
        h = u * h + (1 - u) * new
    return torch.from_numpy(h).float()


def test_published_weights_give_the_published_states(folder):
    encoder = build_encoder()
    assert load_skipthoughts(encoder, WORDS, folder) == 3
    for sentence in (["plane", "beside", "the", "plane"], ["the"]):
        token_ids, _ = pad_tokens([[2 + WORDS.index(word) for word in sentence]])
        last = encoder.gru(encoder.embedding(token_ids))[1][0, 0]
        torch.testing.assert_close(last, published_recurrence(folder, sentence))
    assert not encoder.embedding.weight[0].any()  # padding
    unknown = torch.from_numpy(np.load(folder / "utable.npy")[DICTIONARY.index("UNK")]).float()
    assert torch.equal(encoder.embedding.weight[1], unknown)
    assert torch.equal(encoder.embedding.weight[2 + WORDS.index("hangar")], unknown)


def test_without_an_entry_unk_other_words_keep_their_random_embedding(folder):
    text = (folder / "dictionary.txt").read_text(encoding="utf-8")
    (folder / "dictionary.txt").write_text(text.replace("UNK", "unk"), encoding="utf-8")
    encoder = build_encoder()
    random = encoder.embedding.weight.detach().clone()
    load_skipthoughts(encoder, WORDS, folder)
    unchanged = (encoder.embedding.weight == random).all(1)
    assert unchanged.tolist() == [True, True, False, True, False, False]  # padding, unknown, hangar


def test_a_vocabulary_without_a_known_word_loads(folder):
    assert load_skipthoughts(build_encoder(), ("hangar", "runway"), folder) == 0


@pytest.mark.parametrize("name", ["dictionary.txt", "utable.npy", "uni_skip.npz"])
def test_a_missing_file_is_named_with_all_that_is_needed(folder, name):
    (folder / name).unlink()
    message = (
        rf"text_weights: .* lacks {name}; it must hold dictionary.txt, utable.npy and uni_skip.npz"
    )
    with pytest.raises(ConfigError, match=message) as caught:
        load_skipthoughts(build_encoder(), WORDS, folder)
    message = str(caught.value)
    assert "text_weights: none" in message and "text_encoder: bigru" in message
    assert "\n" not in message


def test_a_missing_folder_lacks_all_three_files(tmp_path):
    with pytest.raises(
        ConfigError, match=r"nowhere lacks dictionary.txt, utable.npy, uni_skip.npz"
    ):
        load_skipthoughts(build_encoder(), WORDS, tmp_path / "nowhere")


def test_weights_for_another_encoder_are_refused(folder):
    with pytest.raises(ConfigError, match=r"model.text_encoder is not skipthoughts"):
        load_skipthoughts(BiGRU(6, SIZE, UNITS, 4), WORDS, folder)


@pytest.mark.parametrize("name", ["utable.npy", "uni_skip.npz"])
@pytest.mark.parametrize("keep", [0, 60, 200])
def test_files_cut_short_are_refused(folder, name, keep):
    path = folder / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError, match="damaged"):
        load_skipthoughts(build_encoder(), WORDS, folder)


def test_files_that_would_run_code_are_refused(folder):
    np.save(folder / "utable.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match="damaged"):
        load_skipthoughts(build_encoder(), WORDS, folder)


@pytest.mark.parametrize(("size", "units"), [(SIZE + 1, UNITS), (SIZE, UNITS + 1)])
def test_other_sizes_are_one_line(folder, size, units):
    message = rf"encoder_W is \(5, 14\), and .*word_dim {size} .*gru_hidden {units} expect \({size}, {2 * units}\)"
    with pytest.raises(StoreError, match=message) as caught:
        load_skipthoughts(build_encoder(size, units), WORDS, folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(5, SIZE), (6, SIZE + 1), (6,)])
def test_tables_that_do_not_fit_the_dictionary_are_refused(folder, shape):
    np.save(folder / "utable.npy", np.zeros(shape, dtype=np.float32))
    with pytest.raises(StoreError, match=r"utable.npy is .*6 words of .* expect \(6, 5\)"):
        load_skipthoughts(build_encoder(), WORDS, folder)
