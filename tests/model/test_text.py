"""Sentence encoders: the paper's and the released code's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.model.text import SkipThoughts, build_text_encoder, pad_tokens

SIZES = {
    "vocab_size": 20, "word_dim": 8, "gru_hidden": 12, "embed_dim": 16, "text_config": None, "head": "mlp",
    "head_dim": 8, "head_dropout": 0.0,
}  # fmt: skip
SENTENCES = [[2, 3, 4, 5, 6, 7], [8, 9], [1]]


def build(name, dropout=0.0):
    torch.manual_seed(0)
    return build_text_encoder(text_encoder=name, text_dropout=dropout, **SIZES)


def encode(encoder, sentences):
    """The embeddings of sentences, out of their features."""
    return encoder(encoder.features(*pad_tokens(sentences)))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([("bigru", 0.0), ("skipthoughts", 0.25)]),
    st.lists(st.lists(st.integers(1, 19), min_size=1, max_size=9), min_size=1, max_size=5),
)
def test_padding_changes_nothing(kind, sentences):
    encoder = build(*kind).eval()
    together = encode(encoder, sentences)
    for sentence, row in zip(sentences, together, strict=True):
        torch.testing.assert_close(row, encode(encoder, [sentence])[0], atol=1e-5, rtol=1e-5)


def test_bigru_averages_directions_and_words():
    encoder = build("bigru").eval()
    token_ids, lengths = pad_tokens([[2, 3, 4]])
    hidden = encoder.gru(encoder.embedding(token_ids))[0]
    mean = sum((hidden[0, i, :12] + hidden[0, i, 12:]) / 2 for i in range(3)) / 3
    raw = encoder.project(mean)
    torch.testing.assert_close(encoder(encoder.features(token_ids, lengths))[0], raw / raw.norm())


def test_skipthoughts_is_relu_of_the_projected_state_after_the_last_word():
    encoder = build("skipthoughts", 0.25).eval()
    for row, sentence in zip(encode(encoder, SENTENCES), SENTENCES, strict=True):
        last = encoder.gru(encoder.embedding(torch.tensor([sentence])))[0][0, -1]
        raw = encoder.project(last).clamp(min=0)
        torch.testing.assert_close(row, raw / raw.norm())


def test_step_by_step_without_masks_is_the_fast_gru():
    encoder = build("skipthoughts")
    torch.nn.init.normal_(encoder.gru.bias_hh_l0)  # the reset gate would apply to it
    token_ids, lengths = pad_tokens(SENTENCES)
    embedded = encoder.embedding(token_ids)
    ones = torch.ones(3, 3, 8), torch.ones(3, 3, 12)
    slow = encoder.masked_gru(embedded, lengths, *ones)
    for row, sentence, length in zip(slow, embedded, lengths, strict=True):
        torch.testing.assert_close(row, encoder.gru(sentence[None, :length])[1][0, 0])


def masked_recurrence(encoder, sentence, word_masks, state_masks):
    """Apply the definition: the same six masks at every word of one sentence."""
    w, u, b, _ = (table.detach().double().numpy() for table in encoder.gru.all_weights[0])
    w, u, b = (np.split(each, 3) for each in (w, u, b))
    words, state = word_masks.double().numpy(), state_masks.double().numpy()
    h = np.zeros(12)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for x in encoder.embedding(torch.tensor(sentence)).detach().double().numpy():
        r = sigmoid(w[0] @ (x * words[0]) + b[0] + u[0] @ (h * state[0]))
        z = sigmoid(w[1] @ (x * words[1]) + b[1] + u[1] @ (h * state[1]))
        n = np.tanh(w[2] @ (x * words[2]) + b[2] + r * (u[2] @ (h * state[2])))
        h = z * h + (1 - z) * n
    return torch.from_numpy(h)


def test_in_training_each_sentence_keeps_its_masks_from_word_to_word():
    encoder = build("skipthoughts", 0.25).train()
    torch.manual_seed(7)
    rows = encode(encoder, SENTENCES)
    torch.manual_seed(7)
    word_masks, state_masks = encoder.dropout_masks(3)
    for i, sentence in enumerate(SENTENCES):
        last = masked_recurrence(encoder, sentence, word_masks[:, i], state_masks[:, i])
        raw = encoder.project(last.float()).relu()
        torch.testing.assert_close(rows[i], raw / raw.norm())


def test_masks_drop_their_fraction_and_differ_between_gates_and_sentences():
    encoder = SkipThoughts(20, 50, 70, 16, dropout=0.25)
    torch.manual_seed(0)
    for masks, width in zip(encoder.dropout_masks(40), (50, 70), strict=True):
        assert masks.shape == (3, 40, width)
        assert masks.unique().tolist() == pytest.approx([0, 1 / 0.75])
        assert (masks == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
        assert len(masks.flatten(0, 1).unique(dim=0)) == 3 * 40


def test_nothing_is_dropped_in_evaluation_or_with_dropout_zero():
    encoder = build("skipthoughts", 0.25)
    dropped, kept = encode(encoder.train(), SENTENCES), encode(encoder.eval(), SENTENCES)
    assert not torch.allclose(dropped, kept)
    undropped = build("skipthoughts", 0.0)
    torch.testing.assert_close(encode(undropped.train(), SENTENCES), kept)


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_a_sentence_without_positive_values_is_zero_and_has_no_gradient(dropout):
    encoder = build("skipthoughts", dropout).train()
    with torch.no_grad():
        encoder.project.bias.fill_(-10)
    rows = encode(encoder, SENTENCES)
    assert not rows.any()
    (rows * torch.randn_like(rows)).sum().backward()
    assert all(not weight.grad.any() for weight in encoder.parameters() if weight.requires_grad)


def test_hidden_biases_stay_zero_in_training():
    """The published encoder has no hidden biases."""
    encoder = build("skipthoughts", 0.25).train()
    adam = torch.optim.Adam(encoder.parameters(), lr=0.1)
    before = {name: weight.clone() for name, weight in encoder.named_parameters()}
    rows = encode(encoder, SENTENCES)
    (rows * torch.randn_like(rows)).sum().backward()
    adam.step()
    unchanged = {n for n, weight in encoder.named_parameters() if torch.equal(weight, before[n])}
    assert unchanged == {"gru.bias_hh_l0"} and not encoder.gru.bias_hh_l0.any()
