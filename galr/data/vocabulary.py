"""Sentences as word numbers: tokens, vocabulary, length.

English words that the released code leaves out of its vocabulary: NLTK's list, as it was in 2022.

NLTK's list grew from that of the Porter stemmer, which Snowball distributes (snowballstem.org). It has
`between`, `on`, `above`, `over` and `under`, and `a` and `no`; `two`, `beside`, `near` and `many` it has not.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from galr.data import treebank

PUNCTUATION = frozenset(",.:;?()[]&!*@#$%")
PADDING, UNKNOWN = 0, 1
NUM_SPECIAL = 2  # numbers below the first word of the vocabulary


def tokenize(sentence: str) -> list[str]:
    """Lower case, Treebank word tokens, punctuation dropped (as in the released code)."""
    return [
        word for word in treebank.treebank_tokenize(sentence.lower()) if word not in PUNCTUATION
    ]


@dataclass(frozen=True)
class Vocabulary:
    """The words a model knows, in order of their numbers from `RESERVED` on."""

    tokens: tuple[str, ...]

    @classmethod
    def build(
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
        seen = Counter(token for sentence in sentences for token in tokenize(sentence))
        often = {word for word, times in seen.items() if times >= min_count}
        return cls(tuple(sorted(often if stop_words else often - STOP_WORDS)))

    def __len__(self) -> int:
        """Numbers in use, padding and unknown included."""
        return len(self.tokens) + NUM_SPECIAL

    def encode(self, sentences: Sequence[str], max_words: int) -> list[list[int]]:
        """Turn sentences into word numbers, each at least one and at most `max_words` long.

        A longer sentence is cut, with one warning that counts them.
        """
        place = {word: number for number, word in enumerate(self.tokens, start=NUM_SPECIAL)}
        rows = [
            [place.get(token, UNKNOWN) for token in tokenize(s)] or [UNKNOWN] for s in sentences
        ]
        long = sum(len(row) > max_words for row in rows)
        if long:
            warnings.warn(f"{long} sentences of more than {max_words} words were cut", stacklevel=2)
        return [row[:max_words] for row in rows]


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
