"""The released code's sentence encoder: skip-thoughts' GRU, read at its last word.

Sentence encoders: the paper's, and which one a model has.

An encoder takes words (B, L) int64, 0 where padding, and their lengths (B,) int64 on the CPU, each at
least 1, and gives (B, embedding) unit rows; padding changes nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from galr.errors import ConfigError


class SkipThoughts(nn.Module):
    r"""Words → embeddings → GRU → its last state → linear → ReLU (METHOD 4, the released code).

    As released: the recurrence of skip-thoughts' uni-skip encoder
    (:math:`h' = z \odot h + (1 - z) \odot \tanh(W x + b + r \odot U h)`, no biases beside :math:`U`),
    the ReLU before the length is made 1, and the dropout of Gal and Ghahramani (2016): each sentence
    draws six masks, for each of the three gates one over the word and one over the state, and keeps
    them from its first word to its last.

    Ours: one `nn.GRU` holds the weights, whose hidden biases stay 0, so that its fast kernels run
    wherever nothing is dropped; and padding is never read, where the released code reads and ignores it.

    A sentence whose numbers the ReLU silences all is a row of zeros, not of length 1: it is as far from
    every image as from any other, and has no gradient.

    Shapes:
        - **words:** :math:`(B, L)` int64, 0 where padding
        - **lengths:** :math:`(B,)` int64 on the CPU, each at least 1
        - **output:** :math:`(B, embedding)`, unit rows; padding changes nothing

    Args:
        words: size of the vocabulary, padding included.
        word_size: width of a word's embedding, 620 as published.
        hidden: units of the GRU, 2400 as published.
        embedding: width of the common space.
        share: of a mask that is dropped in training, in [0, 1), 0.25 as released.
    """

    def __init__(
        self, vocab_size: int, word_dim: int, gru_hidden: int, embed_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, word_dim, padding_idx=0)
        self.gru = nn.GRU(word_dim, gru_hidden, batch_first=True)
        *_, state_bias = self.gru.all_weights[0]
        state_bias.requires_grad_(False).zero_()
        self.project = nn.Linear(gru_hidden, embed_dim)
        self.dropout = dropout

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        embedded = self.embedding(token_ids)
        if self.training and self.dropout:
            last_state = self.masked_gru(embedded, lengths, *self.dropout_masks(len(token_ids)))
        else:
            packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            last_state = self.gru(packed)[1][0]
        return normalize(self.project(last_state).relu())

    def dropout_masks(self, num_sentences: int) -> tuple[Tensor, Tensor]:
        """Draw what to drop: factors 0 or 1 / (1 - share).

        Returns:
            Over the words (3, sentences, word_size) and over the state (3, sentences, hidden), for the
            reset gate, the update gate and the new state.
        """
        widths = self.gru.input_size, self.gru.hidden_size
        word_masks, state_masks = (
            dropout(self.embedding.weight.new_ones(3, num_sentences, width), self.dropout)
            for width in widths
        )
        return word_masks, state_masks

    def masked_gru(
        self, embedded: Tensor, lengths: Tensor, word_masks: Tensor, state_masks: Tensor
    ) -> Tensor:
        """The GRU's recurrence with masks, which its fast kernels cannot do.

        Args:
            steps: (B, L, word_size) embedded words.
            lengths: (B,) int64.
            over_words: (3, B, word_size) factors, see `masks`.
            over_state: (3, B, hidden) factors.

        Returns:
            (B, hidden), each sentence's state after its last word.
        """
        word_weights, state_weights, word_biases, state_biases = (
            each.unflatten(0, (3, -1)) for each in self.gru.all_weights[0]
        )  # the gates lie one above the other: (3, hidden, …)
        masked = (embedded * word_masks.unsqueeze(2)).flatten(1, 2)  # (3, B·L, word_size)
        word_gates = torch.baddbmm(word_biases.unsqueeze(1), masked, word_weights.mT)
        word_gates = word_gates.unflatten(1, embedded.shape[:2])  # (3, B, L, hidden)
        active = torch.arange(embedded.shape[1]) < lengths.unsqueeze(1)  # (B, L)
        active = active.to(embedded.device, non_blocking=True)
        state = state_masks.new_zeros(state_masks.shape[1:])
        for step in range(embedded.shape[1]):
            step_gates = word_gates[:, :, step]  # what the three gates hear of it, (3, B, hidden)
            state_gates = torch.baddbmm(
                state_biases.unsqueeze(1), state * state_masks, state_weights.mT
            )
            reset, update = (step_gates[:2] + state_gates[:2]).sigmoid()
            new = (step_gates[2] + reset * state_gates[2]).tanh()
            after = update * state + (1 - update) * new
            state = torch.where(active[:, step, None], after, state)
        return state


class BiGRU(nn.Module):
    r"""Words → embeddings → BiGRU → mean → MLP (METHOD 4, the paper's figure).

    Shapes:
        - **words:** :math:`(B, L)` int64, 0 where padding
        - **lengths:** :math:`(B,)` int64 on the CPU, each at least 1
        - **output:** :math:`(B, embedding)`, unit rows; padding changes nothing
    """

    def __init__(self, vocab_size: int, word_dim: int, gru_hidden: int, embed_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, word_dim, padding_idx=0)
        self.gru = nn.GRU(word_dim, gru_hidden, batch_first=True, bidirectional=True)
        self.project = nn.Sequential(
            nn.Linear(gru_hidden, gru_hidden), nn.ReLU(), nn.Linear(gru_hidden, embed_dim)
        )

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        order = lengths.argsort(descending=True, stable=True)
        there, back, steps = (  # torch's own sorting would wait for a GPU here
            each.to(token_ids.device, non_blocking=True)
            for each in (order, order.argsort(), lengths[order])
        )
        packed = pack_padded_sequence(
            self.embedding(token_ids[there]), lengths[order], batch_first=True
        )
        heard, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)  # (B, L, 2 hidden)
        forth, away = heard.chunk(2, dim=-1)
        total = ((forth + away) / 2).sum(dim=1)  # padded steps are zero
        mean = total / steps.unsqueeze(1)
        return normalize(self.project(mean[back]))


SentenceEncoder = BiGRU | SkipThoughts


def build_text_encoder(
    *,
    text_encoder: str,
    vocab_size: int,
    word_dim: int,
    gru_hidden: int,
    text_dropout: float,
    embed_dim: int,
) -> SentenceEncoder:
    """Build the encoder that a model's settings name.

    Args:
        text: `bigru`, the paper's figure, or `skipthoughts`, the released code's.
        words: size of the vocabulary, padding included.
        word_size: width of a word's embedding.
        text_size: units of the GRU, each direction.
        text_dropout: share dropped while `skipthoughts` learns; `bigru` drops nothing.
        embedding: width of the common space.

    Raises:
        ConfigError: there is no such encoder, or it cannot drop that share.
    """
    if text_encoder == "bigru":
        if text_dropout:
            raise ConfigError(
                f"model.text_dropout is {text_dropout} and model.text bigru, which drops nothing;"
                " set text_dropout: 0 or text: skipthoughts"
            )
        return BiGRU(vocab_size, word_dim, gru_hidden, embed_dim)
    if text_encoder == "skipthoughts":
        if not 0 <= text_dropout < 1:
            raise ConfigError(f"model.text_dropout must be in [0, 1), got {text_dropout}")
        return SkipThoughts(vocab_size, word_dim, gru_hidden, embed_dim, text_dropout)
    raise ConfigError(f"model.text '{text_encoder}' is unknown; choose from bigru, skipthoughts")


def pad_tokens(sequences: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Stack word numbers of different length.

    Args:
        sentences: (B,) lists of word numbers, each of at least one.

    Returns:
        words (B, L) int64 padded with 0, lengths (B,) int64.
    """
    rows = [torch.tensor(sentence, dtype=torch.int64) for sentence in sequences]
    lengths = torch.tensor([len(row) for row in rows])
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths
