"""Sentences as word numbers: tokens, vocabulary, length."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nltk.tokenize import TreebankWordTokenizer

DROPPED = frozenset(",.:;?()[]&!*@#$%")
PADDING, UNKNOWN = 0, 1
RESERVED = 2  # numbers below the first word of the vocabulary


def tokens(sentence: str) -> list[str]:
    """Lower case, Treebank word tokens, punctuation dropped (METHOD 1)."""
    return [t for t in TreebankWordTokenizer().tokenize(sentence.lower()) if t not in DROPPED]


@dataclass(frozen=True)
class Vocabulary:
    """The words a model knows, in order of their numbers from `RESERVED` on."""

    words: tuple[str, ...]

    @classmethod
    def count(cls, sentences: Iterable[str], min_count: int) -> "Vocabulary":
        """Take the words seen at least `min_count` times, in alphabetical order.

        Stop words stay: in English lists `two`, `beside` and `between` are stop words, and they are
        what a sentence about an aerial image is made of. The released code leaves them out.
        """
        seen = Counter(token for sentence in sentences for token in tokens(sentence))
        return cls(tuple(sorted(word for word, times in seen.items() if times >= min_count)))

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
