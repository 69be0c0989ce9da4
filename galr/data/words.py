"""Sentences as word numbers: tokens, vocabulary, length."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from galr.data import treebank
from galr.data.stop_words import STOP_WORDS

DROPPED = frozenset(",.:;?()[]&!*@#$%")
PADDING, UNKNOWN = 0, 1
RESERVED = 2  # numbers below the first word of the vocabulary


def tokens(sentence: str) -> list[str]:
    """Lower case, Treebank word tokens, punctuation dropped (METHOD 1)."""
    return [word for word in treebank.words(sentence.lower()) if word not in DROPPED]


@dataclass(frozen=True)
class Vocabulary:
    """The words a model knows, in order of their numbers from `RESERVED` on."""

    words: tuple[str, ...]

    @classmethod
    def count(
        cls, sentences: Iterable[str], min_count: int, *, stop_words: bool = True
    ) -> "Vocabulary":
        """Take the words seen at least `min_count` times, in alphabetical order.

        Args:
            sentences: to count in.
            min_count: how often a word must be seen.
            stop_words: keep English stop words: `between`, `on` and `under`, which say where things are in
                an aerial image, are among them. The released code leaves them out, and to its model they are
                all the same unknown word.
        """
        seen = Counter(token for sentence in sentences for token in tokens(sentence))
        often = {word for word, times in seen.items() if times >= min_count}
        return cls(tuple(sorted(often if stop_words else often - STOP_WORDS)))

    def __len__(self) -> int:
        """Numbers in use, padding and unknown included."""
        return len(self.words) + RESERVED

    def numbers(self, sentences: Sequence[str], max_words: int) -> list[list[int]]:
        """Turn sentences into word numbers, each at least one and at most `max_words` long.

        A longer sentence is cut, with one warning that counts them.
        """
        place = {word: number for number, word in enumerate(self.words, start=RESERVED)}
        rows = [[place.get(token, UNKNOWN) for token in tokens(s)] or [UNKNOWN] for s in sentences]
        long = sum(len(row) > max_words for row in rows)
        if long:
            warnings.warn(f"{long} sentences of more than {max_words} words were cut", stacklevel=2)
        return [row[:max_words] for row in rows]
