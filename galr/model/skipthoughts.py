"""The released code's sentence encoder: skip-thoughts' GRU, read at its last word."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize
from torch.nn.utils.rnn import pack_padded_sequence


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
        self, words: int, word_size: int, hidden: int, embedding: int, share: float
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words, word_size, padding_idx=0)
        self.gru = nn.GRU(word_size, hidden, batch_first=True)
        *_, state_bias = self.gru.all_weights[0]
        state_bias.requires_grad_(False).zero_()
        self.project = nn.Linear(hidden, embedding)
        self.share = share

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        steps = self.words(words)
        if self.training and self.share:
            last = self.stepwise(steps, lengths, *self.masks(len(words)))
        else:
            packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
            last = self.gru(packed)[1][0]
        return normalize(self.project(last).relu())

    def masks(self, sentences: int) -> tuple[Tensor, Tensor]:
        """Draw what to drop: factors 0 or 1 / (1 - share).

        Returns:
            Over the words (3, sentences, word_size) and over the state (3, sentences, hidden), for the
            reset gate, the update gate and the new state.
        """
        widths = self.gru.input_size, self.gru.hidden_size
        words, state = (
            dropout(self.words.weight.new_ones(3, sentences, width), self.share) for width in widths
        )
        return words, state

    def stepwise(
        self, steps: Tensor, lengths: Tensor, over_words: Tensor, over_state: Tensor
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
        masked = (steps * over_words.unsqueeze(2)).flatten(1, 2)  # (3, B·L, word_size)
        heard = torch.baddbmm(word_biases.unsqueeze(1), masked, word_weights.mT)
        heard = heard.unflatten(1, steps.shape[:2])  # (3, B, L, hidden)
        lasting = torch.arange(steps.shape[1]) < lengths.unsqueeze(1)  # (B, L)
        lasting = lasting.to(steps.device, non_blocking=True)
        state = over_state.new_zeros(over_state.shape[1:])
        for step in range(steps.shape[1]):
            word = heard[:, :, step]  # what the three gates hear of it, (3, B, hidden)
            past = torch.baddbmm(state_biases.unsqueeze(1), state * over_state, state_weights.mT)
            reset, update = (word[:2] + past[:2]).sigmoid()
            new = (word[2] + reset * past[2]).tanh()
            after = update * state + (1 - update) * new
            state = torch.where(lasting[:, step, None], after, state)
        return state
