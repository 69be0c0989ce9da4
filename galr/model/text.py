"""Sentence encoder: a bidirectional GRU, averaged over directions and steps."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class SentenceEncoder(nn.Module):
    r"""Words → embeddings → BiGRU → mean → MLP (METHOD 4, the paper's figure).

    Shapes:
        - **words:** :math:`(B, L)` int64, 0 where padding
        - **lengths:** :math:`(B,)` int64 on the CPU, each at least 1
        - **output:** :math:`(B, embedding)`, unit rows; padding changes nothing
    """

    def __init__(self, words: int, word_size: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, word_size, padding_idx=0)
        self.gru = nn.GRU(word_size, hidden, batch_first=True, bidirectional=True)
        self.project = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, embedding)
        )

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            self.words(words), lengths, batch_first=True, enforce_sorted=False
        )
        steps, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)  # (B, L, 2 hidden)
        forth, back = steps.chunk(2, dim=-1)
        total = ((forth + back) / 2).sum(dim=1)  # padded steps are zero
        mean = total / lengths.to(total.device, total.dtype).unsqueeze(1)
        return normalize(self.project(mean))


def pad(sentences: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Stack word numbers of different length.

    Args:
        sentences: (B,) lists of word numbers, each of at least one.

    Returns:
        words (B, L) int64 padded with 0, lengths (B,) int64.
    """
    rows = [torch.tensor(sentence, dtype=torch.int64) for sentence in sentences]
    lengths = torch.tensor([len(row) for row in rows])
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths
