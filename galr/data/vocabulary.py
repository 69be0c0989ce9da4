"""Sentences as token ids: tokens of any script, vocabulary, stop words, and what a vocabulary does not know."""

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from galr.data import treebank
from galr.errors import ConfigError, DataError, printable

PUNCTUATION = frozenset(",.:;?()[]&!*@#$%")
PADDING, UNKNOWN = 0, 1
NUM_SPECIAL = 2  # ids before the first token of the vocabulary
MANY_UNKNOWN = 0.5  # with a larger share of unknown words, what a split measures means little

# Letters of scripts that write no space between words; each is a token, with its combining marks (Unicode blocks).
_UNSPACED = re.compile(
    "[\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003ffff"  # Han, later additions
    "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f]"  # Hiragana, Katakana
)
_JOINERS = "\u200c\u200d"  # inside words of Persian and of Indic scripts
_ZERO_WIDTH_SPACE = "\u200b"
_APOSTROPHE = re.compile(r"(?<=\w)\u2019(?=\w)")
_HYPHEN = re.compile(r"(?<=\w)[\u2010\u2011](?=\w)")


def tokenize(sentence: str) -> list[str]:
    """Split a sentence of any script into lower-case words.

    Words are Treebank tokens without punctuation, as in the released code, which knows ASCII only. Beyond ASCII
    (our extension) a word is made of letters, digits and combining marks; other signs end it. A script without
    spaces between words (Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar) has a token for each character.
    Texts that differ only in how accents are composed (Unicode's NFC and NFD) have the same tokens.
    """
    if sentence.isascii():
        return _ascii_words(sentence.lower())
    text = unicodedata.normalize("NFC", sentence.lower()).replace(_ZERO_WIDTH_SPACE, " ")
    text = _HYPHEN.sub("-", _APOSTROPHE.sub("'", text))
    return [word for token in _ascii_words(text) for word in _split_scripts(token)]


def _ascii_words(text: str) -> list[str]:
    """Split a text into Treebank tokens, and leave ASCII punctuation out."""
    return [word for word in treebank.treebank_tokenize(text) if word not in PUNCTUATION]


def _split_scripts(token: str) -> list[str]:
    """Split a token with letters beyond ASCII into words; a part without letter or digit is left out."""
    if token.isascii():
        return [token]
    words = [""]
    for char in token:
        kind = unicodedata.category(char)
        if kind[0] == "L" and _UNSPACED.match(char):
            words += [char]
        elif kind[0] == "M" or char in _JOINERS:  # belongs to the letter before it
            words[-1] += char
        elif char.isascii() or kind[0] in "LN":
            if words[-1] and _UNSPACED.match(words[-1]) and words[-1][0].isalpha():
                words += [""]
            words[-1] += char
        elif kind != "Cf":  # an invisible sign, such as a byte order mark, ends no word
            words += [""]
    return [word for word in words if any(char.isalnum() for char in word)]


@dataclass(frozen=True)
class UnknownWords:
    """How much of a split's sentences a vocabulary does not know.

    Attributes:
        words: number of words.
        unknown: number of them that are not in the vocabulary.
        sentences: number of sentences.
        unknown_sentences: number of those without any known word; a model cannot tell them apart.
    """

    words: int
    unknown: int
    sentences: int
    unknown_sentences: int

    @property
    def share(self) -> float:
        """Unknown words among all, in [0, 1]; without any word, 0."""
        return self.unknown / self.words if self.words else 0.0

    def warnings(self, split: str) -> list[str]:
        """Say in one line each what is wrong with a split of this name; nothing where all is well."""
        lines = []
        if self.share > MANY_UNKNOWN:
            lines.append(
                f"{100 * self.share:.0f} % of the words of the {split} split are not in the vocabulary, so its"
                " numbers mean little; lower train.min_word_count, or give all splits sentences of one language"
            )
        if self.unknown_sentences:
            lines.append(
                f"{self.unknown_sentences} of {self.sentences} sentences of the {split} split have no word of the"
                " vocabulary, so the model cannot tell them apart"
            )
        return lines


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

        Raises:
            DataError: the sentences have no word.
            ConfigError: the settings leave no word.
        """
        counts = Counter(token for sentence in sentences for token in tokenize(sentence))
        frequent = {token for token, count in counts.items() if count >= min_count}
        chosen = frequent if stop_words else frequent - STOP_WORDS
        if not chosen:
            raise _explain_empty(counts, min_count)
        return cls(tuple(sorted(chosen)))

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

    def unknown_words(self, sentence: str) -> list[str]:
        """Words of a sentence that are not in the vocabulary, each once; the model cannot tell them apart."""
        known = set(self.tokens)
        return [word for word in dict.fromkeys(tokenize(sentence)) if word not in known]

    def check_query(self, sentence: object) -> None:
        """Check that a sentence has a word of the vocabulary: one rule wherever a sentence is asked.

        Raises:
            ConfigError: it is no text, has no word, or none that is known.
        """
        if not isinstance(sentence, str):
            raise ConfigError(
                f"a query is a sentence, got {printable(repr(sentence))}; give it as text"
            )
        shown = printable(sentence)
        words = set(tokenize(sentence))
        if not words:
            raise ConfigError(f"the query '{shown}' has no word; describe what the image shows")
        if words.isdisjoint(self.tokens):
            raise ConfigError(
                f"the model knows no word of '{shown}', so its answer would mean nothing; use words"
                " of the dataset that it was trained on"
            )

    def count_unknown(
        self, sentences: Mapping[str, Iterable[str]], *, stop_words: bool = True
    ) -> dict[str, UnknownWords]:
        """Count in each split the words that are not in the vocabulary, and the sentences that have no other.

        Args:
            sentences: the sentences of each split, by its name.
            stop_words: whether the vocabulary keeps English stop words; if not, they are unknown on purpose, and are
                not counted as words.
        """
        known = set(self.tokens)
        ignored = frozenset() if stop_words else STOP_WORDS - known
        return {split: _count_unknown(texts, known, ignored) for split, texts in sentences.items()}


def _count_unknown(
    sentences: Iterable[str], known: set[str], ignored: frozenset[str]
) -> UnknownWords:
    """Count the words that are not among the known ones, the ignored ones left out."""
    words, unknown, total, without = 0, 0, 0, 0
    for sentence in sentences:
        tokens = tokenize(sentence)
        words += sum(token not in ignored for token in tokens)
        unknown += sum(token not in known and token not in ignored for token in tokens)
        total += 1
        without += known.isdisjoint(tokens)
    return UnknownWords(words, unknown, total, without)


def _explain_empty(counts: Counter[str], min_count: int) -> DataError | ConfigError:
    """Say why a vocabulary is empty.

    Args:
        counts: occurrences of every token.
        min_count: the smallest number of occurrences.
    """
    if not counts:
        return DataError(
            "the training sentences have no word, that is no letter or digit of any script;"
            " correct the sentences"
        )
    (word, count), *_ = counts.most_common(1)
    if count < min_count:
        return ConfigError(
            f"no word of the training sentences occurs train.min_word_count = {min_count} times; the most"
            f" frequent, '{printable(word)}', occurs {count} times; set min_word_count to {count} or less"
        )
    return ConfigError(
        f"only English stop words occur train.min_word_count = {min_count} times in the training sentences,"
        " and train.stop_words is false; set stop_words to true, or min_word_count to less"
    )


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
