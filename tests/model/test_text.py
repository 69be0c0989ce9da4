"""Sentence encoders: the paper's and the released code's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.model.text import SkipThoughts, build_text_encoder, pad_tokens

SIZES = {"words": 20, "word_size": 8, "text_size": 12, "embedding": 16}
SENTENCES = [[2, 3, 4, 5, 6, 7], [8, 9], [1]]


def encoder_of(text, dropout=0.0):
    torch.manual_seed(0)
    return build_text_encoder(text_encoder=text, text_dropout=dropout, **SIZES)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([("bigru", 0.0), ("skipthoughts", 0.25)]),
    st.lists(st.lists(st.integers(1, 19), min_size=1, max_size=9), min_size=1, max_size=5),
)
def test_padding_changes_nothing(kind, sentences):
    encoder = encoder_of(*kind).eval()
    together = encoder(*pad_tokens(sentences))
    for sentence, row in zip(sentences, together, strict=True):
        torch.testing.assert_close(row, encoder(*pad_tokens([sentence]))[0], atol=1e-5, rtol=1e-5)


def test_bigru_averages_directions_and_steps():
    encoder = encoder_of("bigru").eval()
    words, lengths = pad_tokens([[2, 3, 4]])
    steps = encoder.gru(encoder.embedding(words))[0]
    mean = sum((steps[0, i, :12] + steps[0, i, 12:]) / 2 for i in range(3)) / 3
    raw = encoder.project(mean)
    torch.testing.assert_close(encoder(words, lengths)[0], raw / raw.norm())


def test_skipthoughts_reads_to_the_last_word_and_keeps_what_is_positive():
    encoder = encoder_of("skipthoughts", 0.25).eval()
    for row, sentence in zip(encoder(*pad_tokens(SENTENCES)), SENTENCES, strict=True):
        last = encoder.gru(encoder.embedding(torch.tensor([sentence])))[0][0, -1]
        raw = encoder.project(last).clamp(min=0)
        torch.testing.assert_close(row, raw / raw.norm())


def test_step_by_step_without_masks_is_the_fast_gru():
    encoder = encoder_of("skipthoughts")
    torch.nn.init.normal_(
        encoder.gru.bias_hh_l0
    )  # were it not zero, it would lie within reset's reach
    words, lengths = pad_tokens(SENTENCES)
    steps = encoder.embedding(words)
    ones = torch.ones(3, 3, 8), torch.ones(3, 3, 12)
    slow = encoder.masked_gru(steps, lengths, *ones)
    for row, sentence, length in zip(slow, steps, lengths, strict=True):
        torch.testing.assert_close(row, encoder.gru(sentence[None, :length])[1][0, 0])


def masked_recurrence(encoder, sentence, over_words, over_state):
    """Say the definition out loud: the same six masks at every word of one sentence."""
    w, u, b, _ = (each.detach().double().numpy() for each in encoder.gru.all_weights[0])
    w, u, b = (np.split(each, 3) for each in (w, u, b))
    words, state = over_words.double().numpy(), over_state.double().numpy()
    h = np.zeros(12)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    for x in encoder.words(torch.tensor(sentence)).detach().double().numpy():
        r = sigmoid(w[0] @ (x * words[0]) + b[0] + u[0] @ (h * state[0]))
        z = sigmoid(w[1] @ (x * words[1]) + b[1] + u[1] @ (h * state[1]))
        n = np.tanh(w[2] @ (x * words[2]) + b[2] + r * (u[2] @ (h * state[2])))
        h = z * h + (1 - z) * n
    return torch.from_numpy(h)


def test_in_training_each_sentence_keeps_its_masks_from_word_to_word():
    encoder = encoder_of("skipthoughts", 0.25).train()
    torch.manual_seed(7)
    rows = encoder(*pad_tokens(SENTENCES))
    torch.manual_seed(7)
    over_words, over_state = encoder.dropout_masks(3)
    for i, sentence in enumerate(SENTENCES):
        last = masked_recurrence(encoder, sentence, over_words[:, i], over_state[:, i])
        raw = encoder.project(last.float()).relu()
        torch.testing.assert_close(rows[i], raw / raw.norm())


def test_masks_drop_their_share_and_differ_between_gates_and_sentences():
    encoder = SkipThoughts(20, 50, 70, 16, dropout=0.25)
    torch.manual_seed(0)
    for masks, width in zip(encoder.dropout_masks(40), (50, 70), strict=True):
        assert masks.shape == (3, 40, width)
        assert masks.unique().tolist() == pytest.approx([0, 1 / 0.75])
        assert (masks == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
        assert len(masks.flatten(0, 1).unique(dim=0)) == 3 * 40


def test_nothing_is_dropped_when_nothing_is_learned():
    encoder = encoder_of("skipthoughts", 0.25)
    dropped, kept = encoder.train()(*pad_tokens(SENTENCES)), encoder.eval()(*pad_tokens(SENTENCES))
    assert not torch.allclose(dropped, kept)
    undropped = encoder_of("skipthoughts", 0.0)
    torch.testing.assert_close(undropped.train()(*pad_tokens(SENTENCES)), kept)


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_a_silenced_sentence_is_zero_and_teaches_nothing(dropout):
    encoder = encoder_of("skipthoughts", dropout).train()
    with torch.no_grad():
        encoder.project.bias.fill_(-10)
    rows = encoder(*pad_tokens(SENTENCES))
    assert not rows.any()
    (rows * torch.randn_like(rows)).sum().backward()
    assert all(not each.grad.any() for each in encoder.parameters() if each.requires_grad)


def test_only_words_and_hidden_weights_move_the_recurrence():
    """The hidden biases, which the published encoder lacks, stay zero through a step of training."""
    encoder = encoder_of("skipthoughts", 0.25).train()
    adam = torch.optim.Adam(encoder.parameters(), lr=0.1)
    before = {name: each.clone() for name, each in encoder.named_parameters()}
    rows = encoder(*pad_tokens(SENTENCES))
    (rows * torch.randn_like(rows)).sum().backward()
    adam.step()
    still = {n for n, each in encoder.named_parameters() if torch.equal(each, before[n])}
    assert still == {"gru.bias_hh_l0"} and not encoder.gru.bias_hh_l0.any()
