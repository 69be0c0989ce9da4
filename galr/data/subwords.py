"""Sentences as token ids of a pretrained tokenizer, with the interface of `galr.data.vocabulary.Vocabulary`."""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from galr.data.vocabulary import UnknownWords, Vocabulary, tokenize
from galr.errors import ConfigError, printable

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer
    from tokenizers import Tokenizer

CLIP_KEY = "open_clip"  # of the JSON of a CLIP's tokenizer


@dataclass(frozen=True)
class SubwordVocabulary:
    """A tokenizer that splits words into parts, so that it knows every word of its script.

    Attributes:
        json: the tokenizer, in the JSON of the library tokenizers.
    """

    json: str

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer, without padding and truncation."""
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.json)

    @cached_property
    def unknown_id(self) -> int | None:
        """The id of the unknown token; None where the tokenizer has none."""
        model = self.tokenizer.model
        return self.tokenizer.token_to_id(getattr(model, "unk_token", None) or "[UNK]")

    @property
    def tokens(self) -> tuple[str, ...]:
        """No words of its own: the tokenizer brings them."""
        return ()

    def __len__(self) -> int:
        """Return the number of ids."""
        return self.tokenizer.get_vocab_size()

    def encode(self, sentences: Sequence[str], max_words: int) -> list[list[int]]:
        """Turn sentences into token ids.

        Args:
            sentences: the sentences.
            max_words: the largest number of tokens, special ones included; longer sentences are cut, with one
                warning that counts them.

        Returns:
            Token ids of each sentence, special tokens included.
        """
        rows = [encoding.ids for encoding in self.tokenizer.encode_batch(list(sentences))]
        long = [number for number, row in enumerate(rows) if len(row) > max_words]
        if long:
            warnings.warn(
                f"{len(long)} sentences of more than {max_words} tokens were cut", stacklevel=2
            )
            from tokenizers import Tokenizer

            cutting = Tokenizer.from_str(self.json)
            cutting.enable_truncation(max_words)
            for number in long:
                rows[number] = cutting.encode(sentences[number]).ids
        return rows

    def unknown_words(self, sentence: str) -> list[str]:
        """Words of a sentence of which no part is known, each once; the model cannot tell them apart."""
        return [word for word in dict.fromkeys(tokenize(sentence)) if not self._knows(word)]

    def check_query(self, sentence: object) -> None:
        """Check that a sentence has a known word: one rule wherever a sentence is asked.

        Raises:
            ConfigError: it is no text, has no word, or none that is known.
        """
        words = tokenize(sentence) if isinstance(sentence, str) else []
        known = Vocabulary(tuple(word for word in words if self._knows(word)))
        known.check_query(sentence)

    def count_unknown(
        self, sentences: Mapping[str, Iterable[str]], *, stop_words: bool = True
    ) -> dict[str, UnknownWords]:
        """Count in each split the words that the tokenizer does not know, as `Vocabulary.count_unknown`."""
        texts = {split: list(items) for split, items in sentences.items()}
        words = {word for items in texts.values() for text in items for word in tokenize(text)}
        known = Vocabulary(tuple(sorted(word for word in words if self._knows(word))))
        return known.count_unknown(texts, stop_words=stop_words)

    def _knows(self, word: str) -> bool:
        """Whether a part of a word has a token."""
        ids = self.tokenizer.encode(word, add_special_tokens=False).ids
        return any(token != self.unknown_id for token in ids)


@dataclass(frozen=True)
class ClipVocabulary(SubwordVocabulary):
    """The tokenizer of CLIP, which comes with open_clip, over sentences in one or several templates.

    It splits words into parts down to single bytes, so it knows every word.

    Attributes:
        json: a JSON object with the templates, `{"open_clip": {"prompts": ["{}"]}}`; `{}` is the sentence.
    """

    @classmethod
    def of_prompts(cls, prompts: Sequence[str]) -> "ClipVocabulary":
        """The tokenizer over sentences in some templates."""
        return cls(json.dumps({CLIP_KEY: {"prompts": list(prompts)}}, ensure_ascii=False))

    @cached_property
    def prompts(self) -> list[str]:
        """The templates of a sentence, each with `{}` once."""
        return list(json.loads(self.json)[CLIP_KEY]["prompts"])

    @cached_property
    def clip_tokenizer(self) -> "SimpleTokenizer":
        """The tokenizer of open_clip."""
        from open_clip.tokenizer import SimpleTokenizer

        return SimpleTokenizer()

    def __len__(self) -> int:
        """Return the number of ids."""
        return int(self.clip_tokenizer.vocab_size)

    def encode(self, sentences: Sequence[str], max_words: int) -> list[list[int]]:
        """Turn sentences into token ids.

        Args:
            sentences: the sentences.
            max_words: the largest number of tokens of a template, its first and last included; longer ones are cut
                before the last, with one warning that counts the sentences.

        Returns:
            Token ids of each sentence: those of the single template; or, with P of them, those of each, filled up with
            0 to `max_words`, one after the other.
        """
        first, last = self.clip_tokenizer.sot_token_id, self.clip_tokenizer.eot_token_id
        rows, cut = [], 0
        for sentence in sentences:
            parts = [
                [first, *self.clip_tokenizer.encode(prompt.replace("{}", sentence)), last]
                for prompt in self.prompts
            ]
            cut += any(len(part) > max_words for part in parts)
            parts = [
                part if len(part) <= max_words else [*part[: max_words - 1], last] for part in parts
            ]
            if len(parts) > 1:
                parts = [part + [0] * (max_words - len(part)) for part in parts]
            rows.append([token for part in parts for token in part])
        if cut:
            warnings.warn(f"{cut} sentences of more than {max_words} tokens were cut", stacklevel=2)
        return rows

    def _knows(self, word: str) -> bool:
        """Whether a part of a word has a token: always."""
        return True


AnyVocabulary = Vocabulary | SubwordVocabulary


def open_vocabulary(tokens: Sequence[str], tokenizer: str | None) -> AnyVocabulary:
    """The vocabulary of a model: its tokenizer, or else its words.

    Raises:
        ConfigError: the tokenizer cannot be read.
    """
    if tokenizer is None:
        return Vocabulary(tuple(tokens))
    is_clip = tokenizer.startswith(f'{{"{CLIP_KEY}"')
    vocabulary = ClipVocabulary(tokenizer) if is_clip else SubwordVocabulary(tokenizer)
    try:
        len(vocabulary)
    except Exception as error:  # the library raises bare exceptions
        raise ConfigError(f"the tokenizer cannot be read ({printable(str(error))})") from error
    return vocabulary
