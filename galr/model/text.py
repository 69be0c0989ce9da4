"""Sentence encoders: the paper's bidirectional GRU, the released code's skip-thoughts GRU, and pretrained ones.

Each has two parts. `features` takes token ids (B, L) int64, 0 where padding, and their lengths (B,) int64 on the
CPU, each at least 1, and returns a feature of each sentence: what can be computed once where the encoder is frozen.
The call takes these features and returns embeddings (B, embed_dim) with rows of length 1. Padding changes nothing.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, normalize
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from galr.errors import ConfigError
from galr.model.clip import ClipText
from galr.model.heads import ProjectionHead


class BiGRU(nn.Module):
    r"""Word embeddings, a bidirectional GRU, the mean over directions and words, two linear layers.

    Source: the paper's figure of the model; `docs/how/figure.md`, section Sentence.

    Shapes:
        - **token_ids:** :math:`(B, L)` int64, 0 where padding
        - **lengths:** :math:`(B,)` int64 on the CPU, each at least 1
        - **output:** :math:`(B, embed\_dim)` float, rows of length 1

    Args:
        vocab_size: size of the vocabulary, padding included.
        word_dim: width of a word's embedding.
        gru_hidden: units of the GRU, each direction.
        embed_dim: width of the output.
    """

    def __init__(self, vocab_size: int, word_dim: int, gru_hidden: int, embed_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, word_dim, padding_idx=0)
        self.gru = nn.GRU(word_dim, gru_hidden, batch_first=True, bidirectional=True)
        self.project = nn.Sequential(
            nn.Linear(gru_hidden, gru_hidden), nn.ReLU(), nn.Linear(gru_hidden, embed_dim)
        )

    def features(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute the mean state of each sentence, over directions and words.

        Args:
            token_ids: (B, L) int64, 0 where padding.
            lengths: (B,) int64 on the CPU, each at least 1.

        Returns:
            (B, gru_hidden) float.
        """
        by_length = lengths.argsort(descending=True, stable=True)
        (
            order,
            inverse_order,
            sorted_lengths,
        ) = (  # pack_padded_sequence's own sorting waits for a GPU
            table.to(token_ids.device, non_blocking=True)
            for table in (by_length, by_length.argsort(), lengths[by_length])
        )
        packed = pack_padded_sequence(
            self.embedding(token_ids[order]), lengths[by_length], batch_first=True
        )
        hidden, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        forward, backward = hidden.chunk(2, dim=-1)  # (B, L, gru_hidden) each
        total = ((forward + backward) / 2).sum(dim=1)  # padded steps are zero
        mean = total / sorted_lengths.unsqueeze(1)
        return mean[inverse_order]

    def forward(self, features: Tensor) -> Tensor:
        """Embed sentences.

        Args:
            features: (B, gru_hidden) float, of `features`.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        return normalize(self.project(features))


class SkipThoughts(nn.Module):
    r"""Word embeddings, a GRU, its last state, a linear layer and ReLU, as in the released code.

    As released: the recurrence of skip-thoughts' uni-skip encoder
    (:math:`h' = z \odot h + (1 - z) \odot \tanh(W x + b + r \odot U h)`, no biases beside :math:`U`;
    Kiros and others 2015, arXiv 1506.06726), the ReLU before the scaling to length 1, and the dropout of Gal and
    Ghahramani (2016, arXiv 1512.05287): six masks a sentence, for each of the three gates one over the word and
    one over the state, the same from the first word to the last.

    Different: one `nn.GRU` holds the weights, and its hidden biases stay 0, so that its fast kernels run where
    nothing is dropped; padding is not processed, where the released code processes and ignores it.

    Where the ReLU leaves no value of a sentence above 0, its row is zero and not of length 1: its cosine with every
    image is 0, and it has no gradient.

    Shapes:
        - **token_ids:** :math:`(B, L)` int64, 0 where padding
        - **lengths:** :math:`(B,)` int64 on the CPU, each at least 1
        - **output:** :math:`(B, embed\_dim)` float, rows of length 1

    Args:
        vocab_size: size of the vocabulary, padding included.
        word_dim: width of a word's embedding, 620 as published.
        gru_hidden: units of the GRU, 2400 as published.
        embed_dim: width of the output.
        dropout: fraction of each mask that is dropped in training, in [0, 1); 0.25 as released.
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

    def features(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute the last state of each sentence.

        Args:
            token_ids: (B, L) int64, 0 where padding.
            lengths: (B,) int64 on the CPU, each at least 1.

        Returns:
            (B, gru_hidden) float.
        """
        embedded = self.embedding(token_ids)
        if self.training and self.dropout:
            last_state = self.masked_gru(embedded, lengths, *self.dropout_masks(len(token_ids)))
        else:
            packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
            last_state = self.gru(packed)[1][0]
        return last_state

    def forward(self, features: Tensor) -> Tensor:
        """Embed sentences.

        Args:
            features: (B, gru_hidden) float, of `features`.

        Returns:
            (B, embed_dim) float, rows of length 1, or of length 0 where ReLU leaves nothing.
        """
        return normalize(self.project(features).relu())

    def dropout_masks(self, num_sentences: int) -> tuple[Tensor, Tensor]:
        """Draw dropout masks: factors 0 or 1 / (1 - dropout).

        Returns:
            Over the words (3, B, word_dim) and over the state (3, B, gru_hidden), float; the axis of 3 is the
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
        """Run the GRU's recurrence with masks, which its fast kernels cannot do.

        Args:
            embedded: (B, L, word_dim) float, embedded words.
            lengths: (B,) int64 on the CPU.
            word_masks: (3, B, word_dim) float factors, see `dropout_masks`.
            state_masks: (3, B, gru_hidden) float factors.

        Returns:
            (B, gru_hidden) float, the state of each sentence after its last word.
        """
        word_weights, state_weights, word_biases, state_biases = (
            table.unflatten(0, (3, -1)) for table in self.gru.all_weights[0]
        )  # torch stacks the gates: (3, gru_hidden, …)
        masked = (embedded * word_masks.unsqueeze(2)).flatten(1, 2)  # (3, B·L, word_dim)
        word_gates = torch.baddbmm(word_biases.unsqueeze(1), masked, word_weights.mT)
        word_gates = word_gates.unflatten(1, embedded.shape[:2])  # (3, B, L, gru_hidden)
        active = torch.arange(embedded.shape[1]) < lengths.unsqueeze(1)  # (B, L)
        active = active.to(embedded.device, non_blocking=True)
        state = state_masks.new_zeros(state_masks.shape[1:])
        for step in range(embedded.shape[1]):
            step_gates = word_gates[:, :, step]  # (3, B, gru_hidden)
            state_gates = torch.baddbmm(
                state_biases.unsqueeze(1), state * state_masks, state_weights.mT
            )
            reset, update = (step_gates[:2] + state_gates[:2]).sigmoid()
            new = (step_gates[2] + reset * state_gates[2]).tanh()
            after = update * state + (1 - update) * new
            state = torch.where(active[:, step, None], after, state)
        return state


class MeanTransformer(nn.Module):
    r"""A transformer of Hugging Face's library, and the mean of its last states over a sentence's tokens.

    The mean includes the special tokens, as in sentence-transformers.

    Shapes:
        - **token_ids:** :math:`(B, L)` int64, of the transformer's own tokenizer
        - **lengths:** :math:`(B,)` int64 on the CPU, each at least 1
        - **output:** :math:`(B, width)` float

    Args:
        config: the transformer's own configuration, as JSON types.

    Attributes:
        width: of a state.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        # Imported here: other encoders do not wait for it.
        from transformers import AutoConfig, AutoModel

        super().__init__()
        settings = AutoConfig.for_model(**config)
        self.transformer = AutoModel.from_config(settings)
        if getattr(self.transformer, "pooler", None) is not None:
            self.transformer.pooler = None  # unused, and without gradient
        self.width: int = settings.hidden_size

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute the mean state of each sentence.

        Args:
            token_ids: (B, L) int64; what stands in the padding is not read.
            lengths: (B,) int64 on the CPU, each at least 1.

        Returns:
            (B, width) float.
        """
        mask = torch.arange(token_ids.shape[1]) < lengths.unsqueeze(1)  # (B, L)
        mask = mask.to(token_ids.device, non_blocking=True)
        output = self.transformer(input_ids=token_ids, attention_mask=mask.long())
        states = output.last_hidden_state
        kept = mask.unsqueeze(-1).to(states)
        return (states * kept).sum(dim=1) / kept.sum(dim=1)


class TransformerText(nn.Module):
    r"""A pretrained transformer and a head (our extension).

    Shapes:
        - **token_ids:** :math:`(B, L)` int64, of the transformer's own tokenizer
        - **lengths:** :math:`(B,)` int64 on the CPU, each at least 1
        - **output:** :math:`(B, embed\_dim)` float, rows of length 1

    Args:
        config: the transformer's own configuration, as JSON types.
        embed_dim: width of the output.
        head: `mlp`, `linear` or `none`, see `ProjectionHead`.
        head_dim: inner width of the head `mlp`.
        dropout: fraction dropped in the head, in [0, 1).
    """

    def __init__(
        self,
        config: dict[str, Any],
        embed_dim: int,
        *,
        head: str,
        head_dim: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.network = MeanTransformer(config)
        self.head = ProjectionHead(
            self.network.width,
            embed_dim,
            kind=head,
            hidden_dim=head_dim,
            dropout=dropout,
            standardise=False,
        )

    def features(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute the mean state of each sentence.

        Args:
            token_ids: (B, L) int64; what stands in the padding is not read.
            lengths: (B,) int64 on the CPU, each at least 1.

        Returns:
            (B, width) float.
        """
        return self.network(token_ids, lengths)

    def forward(self, features: Tensor) -> Tensor:
        """Embed sentences.

        Args:
            features: (B, width) float, of `features`.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        return normalize(self.head(features))


SentenceEncoder = BiGRU | SkipThoughts | TransformerText | ClipText


def build_text_encoder(
    *,
    text_encoder: str,
    text_config: dict[str, Any] | None,
    vocab_size: int,
    word_dim: int,
    gru_hidden: int,
    text_dropout: float,
    embed_dim: int,
    head: str,
    head_dim: int,
    head_dropout: float,
) -> SentenceEncoder:
    """Build the sentence encoder of a name.

    Args:
        text_encoder: `bigru`, as in the paper's figure; `skipthoughts`, as in the released code; `transformer`; `clip`.
        text_config: configuration of the transformer, or of CLIP's text tower; None for the others.
        vocab_size: size of the vocabulary, padding included.
        word_dim: width of a word's embedding.
        gru_hidden: units of the GRU, each direction.
        text_dropout: fraction that `skipthoughts` drops in training, in [0, 1); 0 with the others.
        embed_dim: width of the output.
        head: of the transformer or CLIP, see `ProjectionHead`.
        head_dim: inner width of that head.
        head_dropout: fraction dropped in that head, in [0, 1).

    Raises:
        ConfigError: there is no such encoder, or it cannot drop that fraction.
    """
    if text_encoder == "skipthoughts":
        if not 0 <= text_dropout < 1:
            raise ConfigError(f"model.text_dropout must be in [0, 1), got {text_dropout}")
        return SkipThoughts(vocab_size, word_dim, gru_hidden, embed_dim, text_dropout)
    if text_dropout:
        raise ConfigError(
            f"model.text_dropout is {text_dropout} and model.text_encoder {text_encoder}, which has no such"
            " dropout; set text_dropout: 0 or text_encoder: skipthoughts"
        )
    if text_encoder == "bigru":
        return BiGRU(vocab_size, word_dim, gru_hidden, embed_dim)
    if text_encoder == "transformer" and text_config is not None:
        return TransformerText(
            text_config, embed_dim, head=head, head_dim=head_dim, dropout=head_dropout
        )
    if text_encoder == "clip" and text_config is not None:
        return ClipText(text_config, embed_dim, head=head, head_dim=head_dim, dropout=head_dropout)
    raise ConfigError(
        f"model.text_encoder '{text_encoder}' is unknown; choose from bigru, skipthoughts, transformer, clip"
    )


def pad_tokens(sequences: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Stack token ids of sentences of different length.

    Args:
        sequences: B lists of token ids, each of at least one.

    Returns:
        token_ids (B, L) int64 padded with 0, L the largest length; lengths (B,) int64 on the CPU.
    """
    rows = [torch.tensor(sequence, dtype=torch.int64) for sequence in sequences]
    lengths = torch.tensor([len(row) for row in rows])
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths
