"""Sentence encoders: the paper's, and which one a model has.

An encoder takes words (B, L) int64, 0 where padding, and their lengths (B,) int64 on the CPU, each at
least 1, and gives (B, embedding) unit rows; padding changes nothing.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from galr.errors import ConfigError
from galr.model.skipthoughts import SkipThoughts


class BiGRU(nn.Module):
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
        order = lengths.argsort(descending=True, stable=True)
        there, back, steps = (  # torch's own sorting would wait for a GPU here
            each.to(words.device, non_blocking=True)
            for each in (order, order.argsort(), lengths[order])
        )
        packed = pack_padded_sequence(self.words(words[there]), lengths[order], batch_first=True)
        heard, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)  # (B, L, 2 hidden)
        forth, away = heard.chunk(2, dim=-1)
        total = ((forth + away) / 2).sum(dim=1)  # padded steps are zero
        mean = total / steps.unsqueeze(1)
        return normalize(self.project(mean[back]))


SentenceEncoder = BiGRU | SkipThoughts


def sentence_encoder(
    *, text: str, words: int, word_size: int, text_size: int, text_dropout: float, embedding: int
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
    if text == "bigru":
        if text_dropout:
            raise ConfigError(
                f"model.text_dropout is {text_dropout} and model.text bigru, which drops nothing;"
                " set text_dropout: 0 or text: skipthoughts"
            )
        return BiGRU(words, word_size, text_size, embedding)
    if text == "skipthoughts":
        if not 0 <= text_dropout < 1:
            raise ConfigError(f"model.text_dropout must be in [0, 1), got {text_dropout}")
        return SkipThoughts(words, word_size, text_size, embedding, text_dropout)
    raise ConfigError(f"model.text '{text}' is unknown; choose from bigru, skipthoughts")


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
