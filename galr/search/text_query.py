"""Sentences as queries: an index keeps only the text encoder of a model, which is small and quick to load.

A query is a sentence, or several that are added and subtracted: `two ships +a bridge -clouds`, see `parse_query`.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from galr.data.subwords import AnyVocabulary, open_vocabulary
from galr.errors import ConfigError, StoreError, printable
from galr.io.atomic import atomic_write
from galr.model.text import SentenceEncoder, build_text_encoder, pad_tokens
from galr.search.index import BANK, TEXT_ENCODER

if TYPE_CHECKING:  # they load the whole model
    from galr.model.galr import GaLR
    from galr.similarity.runs import TrainedRun

VERSION = 4
STATE_PREFIX = "text_encoder."  # of its weights' names in the whole model
ARCHITECTURE_KEYS = (
    "text_encoder",
    "text_config",
    "head",
    "head_dim",
    "head_dropout",
    "vocab_size",
    "word_dim",
    "gru_hidden",
    "text_dropout",
    "embed_dim",
)
BANK_SIZE = 5000  # training sentences that serve as other queries: 10 MB at 512 numbers each
SMALLEST_SUM = 1e-3  # length of a sum of unit vectors below which its direction is rounding

# A sign begins a sentence where it follows white space and touches a word: `two-storey` and `a - b` have none.
_NUMBER = r"\d+(?:\.\d+)?"
_SIGN = re.compile(rf"""(?<!\S)([+-])(?:({_NUMBER}):)?(?=["\w])""")
_FIRST_WEIGHT = re.compile(rf"""(?={_NUMBER}:(?:"|[^\W\d_]))""")
_QUOTED = re.compile(r'''"[^"]*"''')


@dataclass(frozen=True)
class QueryTerm:
    """A sentence of a query.

    Attributes:
        sentence: its text.
        weight: by which its embedding is multiplied; negative to move away from it.
    """

    sentence: str
    weight: float


def parse_query(query: str) -> list[QueryTerm]:
    """Divide a query into its sentences (rclip's language, with the signs at the words).

    `+` or `-` begins a sentence where it stands at the beginning of a word, and the sentence reaches to the next such
    sign: `two ships -another +a third`. Hyphens inside words, and dashes that stand alone, are text. A sentence may
    stand in double quotes, in which signs are text; and a number with a colon may precede it, its weight:
    `2:two ships -0.5:clouds`. Without a sign or a weight the query is one sentence, as it is.

    Returns:
        At least one term, in order; a sentence may be empty only if it is the only one.

    Raises:
        ConfigError: a sentence is empty, or a weight is zero.
    """
    text = query.strip().removeprefix("\ufeff").strip()
    if _FIRST_WEIGHT.match(text):
        text = f"+{text}"
    hidden = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), text)  # of the same length
    signs = [match for match in _SIGN.finditer(text) if hidden[match.start()] != "_"]
    if not signs:
        return [QueryTerm(_unquote(text), 1.0)]
    terms = []
    if first := text[: signs[0].start()].strip():
        terms.append(QueryTerm(_unquote(first), 1.0))
    for sign, end in zip(signs, [*(sign.start() for sign in signs[1:]), len(text)], strict=True):
        sentence = _unquote(text[sign.end() : end])
        weight = float(sign[2] or 1) * (-1 if sign[1] == "-" else 1)
        if not sentence or not weight:
            problem = "has no sentence" if not sentence else "has the weight 0"
            raise ConfigError(
                f"'{printable(text[sign.start() : end].strip())}' {problem}; write 'a sentence -another +a third',"
                " or 2:before a sentence for its weight"
            )
        terms.append(QueryTerm(sentence, weight))
    return terms


def _unquote(text: str) -> str:
    """Leave out the double quotes around a sentence, and the white space at its ends."""
    text = text.strip()
    return text[1:-1].strip() if _QUOTED.fullmatch(text) else text


@dataclass(frozen=True)
class TextEncoder:
    """Embeds sentences.

    Attributes:
        network: from token ids and lengths to embeddings, in evaluation mode, on the CPU.
        vocabulary: the words it was trained on.
        max_words: a longer sentence is cut.
    """

    network: SentenceEncoder
    vocabulary: AnyVocabulary
    max_words: int

    def embed(self, query: str) -> np.ndarray:
        """Embed a query, see `parse_query`: (embed_dim,) float32 of length 1.

        Raises:
            ConfigError: a sentence has no word or none of the vocabulary, or the sentences cancel each other.
        """
        terms = parse_query(query)
        if len(terms) == 1 and terms[0].weight > 0:
            return self.embed_sentence(terms[0].sentence)
        vectors = np.stack([self.embed_sentence(term.sentence) for term in terms])
        weights = np.array([term.weight for term in terms]) / max(abs(t.weight) for t in terms)
        total = weights @ vectors.astype(np.float64)
        length = np.linalg.norm(total)
        if length < SMALLEST_SUM:
            raise ConfigError(
                f"the sentences of '{printable(query)}' cancel each other, so that nothing is left to look for"
            )
        return (total / length).astype(np.float32)

    def embed_sentence(self, sentence: str) -> np.ndarray:
        """Embed a sentence: (embed_dim,) float32 of length 1.

        Raises:
            ConfigError: the sentence has no word, or none of the vocabulary.
        """
        self.vocabulary.check_query(sentence)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is cut, see `cut_sentences`
            token_ids, lengths = pad_tokens(self.vocabulary.encode([sentence], self.max_words))
        with torch.inference_mode():
            features = self.network.features(token_ids, lengths)
            return self.network(features)[0].numpy()

    def cut_sentences(self, query: str) -> list[str]:
        """The sentences of a query that are too long, so that the model reads their beginning alone."""
        cut = []
        for term in parse_query(query):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.vocabulary.encode([term.sentence], self.max_words)
            cut += [term.sentence] if caught else []
        return cut

    def unknown_words(self, query: str) -> list[str]:
        """Words of a query that are not in the vocabulary, each once; the model cannot tell them apart."""
        words = (self.vocabulary.unknown_words(term.sentence) for term in parse_query(query))
        return list(dict.fromkeys(word for unknown in words for word in unknown))


def write_query_files(
    folder: Path, run: "TrainedRun", model: "GaLR", *, batch_size: int, device: torch.device
) -> None:
    """Write what an index needs to answer sentences: the text encoder, and a bank of sentence embeddings.

    The bank holds the distinct training sentences, or a random 5000 of them.

    Args:
        folder: the index's; it is made where needed.
        run: the run.
        model: its model, on `device`.
        batch_size: sentences at a time.
        device: where to compute.
    """
    from galr.train.embed import embed_sentences  # loads the whole model

    checkpoint = run.checkpoint
    write_text_encoder(
        folder / TEXT_ENCODER,
        checkpoint.architecture,
        checkpoint.state_dict,
        checkpoint.vocabulary,
        checkpoint.tokenizer,
        checkpoint.max_words,
    )
    sentences = list(dict.fromkeys(run.splits()["train"].sentences))
    chosen = np.random.default_rng(0).permutation(len(sentences))[:BANK_SIZE]
    vocabulary = open_vocabulary(checkpoint.vocabulary, checkpoint.tokenizer)
    token_ids = vocabulary.encode([sentences[row] for row in chosen], checkpoint.max_words)
    bank = embed_sentences(model, token_ids, batch_size=batch_size, device=device)
    with atomic_write(folder / BANK) as partial, partial.open("wb") as file:
        np.save(file, bank)


def write_text_encoder(
    path: Path,
    architecture: Mapping[str, Any],
    state_dict: Mapping[str, torch.Tensor],
    vocabulary: Sequence[str],
    tokenizer: str | None,
    max_words: int,
) -> None:
    """Store the text encoder of a model, whole or not at all.

    Args:
        path: to write.
        architecture: of the whole model, as in its checkpoint.
        state_dict: weights of the whole model.
        vocabulary: its words, in the order of their ids.
        tokenizer: of a pretrained sentence encoder; None with a vocabulary.
        max_words: longer sentences are cut.
    """
    weights = {
        name.removeprefix(STATE_PREFIX): tensor
        for name, tensor in state_dict.items()
        if name.startswith(STATE_PREFIX)
    }
    payload = {
        "kind": "sentence-encoder",
        "version": VERSION,
        "encoder": {key: architecture[key] for key in ARCHITECTURE_KEYS},
        "state": weights,
        "words": list(vocabulary),
        "tokenizer": tokenizer,
        "max_words": max_words,
    }
    with atomic_write(path) as partial:
        torch.save(payload, partial)


def read_text_encoder(path: Path) -> TextEncoder:
    """Load the text encoder of an index.

    Raises:
        StoreError: the file is missing, damaged, of another kind or version.
    """
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
        kind, version = payload["kind"], payload["version"]
        if (kind, version) != ("sentence-encoder", VERSION):
            raise StoreError(
                f"{path} is format {version} of {kind}, this code reads {VERSION} of sentence-encoder;"
                " run galr index again into an empty folder"
            )
        network = build_text_encoder(**payload["encoder"]).eval()
        network.load_state_dict(payload["state"])
        vocabulary = open_vocabulary(payload["words"], payload["tokenizer"])
        return TextEncoder(network, vocabulary, payload["max_words"])
    except StoreError:
        raise
    except Exception as error:  # torch raises many types on damaged bytes
        raise StoreError(
            f"{path} is missing or damaged ({type(error).__name__}); run galr index again into an empty"
            " folder"
        ) from error
