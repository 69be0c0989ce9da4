"""Sentences as token ids: tokens, vocabulary, stop words."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from galr.data import treebank

PUNCTUATION = frozenset(",.:;?()[]&!*@#$%")
PADDING, UNKNOWN = 0, 1
NUM_SPECIAL = 2  # ids before the first token of the vocabulary


def tokenize(sentence: str) -> list[str]:
    """Split a sentence into lower-case Treebank tokens without punctuation, as the released code does."""
    return [
        word for word in treebank.treebank_tokenize(sentence.lower()) if word not in PUNCTUATION
    ]


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a model knows, in the order of their ids, which start at `NUM_SPECIAL`."""

    tokens: tuple[str, ...]

    @classmethod
    def build(
        cls, sentences: Iterable[str], min_count: int, *, stop_words: bool = True
    ) -> "Vocabulary":
        """Build the vocabulary of all tokens that occur at least `min_count` times, in alphabetical order.

        Args:
            sentences: the sentences to count in.
            min_count: the smallest number of occurrences.
            stop_words: keep English stop words. Some of them say where things are in an aerial image: `between`,
                `on`, `under`. The released code leaves them out; its model reads them all as the unknown token.
        """
        counts = Counter(token for sentence in sentences for token in tokenize(sentence))
        frequent = {token for token, count in counts.items() if count >= min_count}
        return cls(tuple(sorted(frequent if stop_words else frequent - STOP_WORDS)))

    def __len__(self) -> int:
        """Return the number of ids, padding and unknown included."""
        return len(self.tokens) + NUM_SPECIAL

    def encode(self, sentences: Sequence[str], max_words: int) -> list[list[int]]:
        """Turn sentences into token ids.

        Args:
            sentences: the sentences.
            max_words: the largest number of tokens; longer sentences are cut, with one warning that counts them.

        Returns:
            Token ids of each sentence, at least one and at most `max_words`. A token that is not in the vocabulary,
            and a sentence without tokens, has the id `UNKNOWN`.
        """
        index = {token: number for number, token in enumerate(self.tokens, start=NUM_SPECIAL)}
        rows = [
            [index.get(token, UNKNOWN) for token in tokenize(s)] or [UNKNOWN] for s in sentences
        ]
        long = sum(len(row) > max_words for row in rows)
        if long:
            warnings.warn(f"{long} sentences of more than {max_words} words were cut", stacklevel=2)
        return [row[:max_words] for row in rows]


# English words that the released code leaves out of its vocabulary: NLTK's list of 2022. It comes from the list of
# the Porter stemmer, which Snowball distributes (snowballstem.org). It includes `between`, `on`, `above`, `over`,
# `under`, `a` and `no`, but not `two`, `beside`, `near` and `many`.
_STOP_WORD_LIST = """
i me my myself we our ours ourselves you you're you've you'll you'd your yours yourself yourselves
he him his himself she she's her hers herself it it's its itself they them their theirs themselves
what which who whom this that that'll these those
am is are was were be been being have has had having do does did doing
a an the and but if or because as until while
of at by for with about against between into through during before after above below to from
up down in out on off over under again further then once here there when where why how
all any both each few more most other some such no nor not only own same so than too very
can will just should should've now s t d ll m o re ve y ma
ain aren aren't couldn couldn't didn didn't doesn doesn't don don't hadn hadn't hasn hasn't haven
haven't isn isn't mightn mightn't mustn mustn't needn needn't shan shan't shouldn shouldn't
wasn wasn't weren weren't won won't wouldn wouldn't
"""
STOP_WORDS = frozenset(_STOP_WORD_LIST.split())
