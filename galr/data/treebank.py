"""Tokens of the Penn Treebank, by regular expressions.

Conventions and order of the steps are those of the Treebank's script (R. MacIntyre, 1995); the order decides rare
cases. The tests compare the tokens with those of NLTK's `TreebankWordTokenizer`. NLTK itself is not used because
its import takes half of the time that a query may take.

- An opening double quote becomes two backticks, a closing one two apostrophes.
- Punctuation and brackets are tokens. A colon or comma before a digit is not split off. Of all periods only the
  last of the text is split off, because others may end abbreviations.
- Contractions are split: `they 'll`, `is n't`, `plane 's`, `can not`.
"""

import re

LAST_PERIOD = re.compile(r"""(?<=[^.])\.([])}>"']*)\s*$""")
# At the start of the text, after a space or a bracket, or directly after another opening quote.
OPENING_QUOTES = re.compile(r"""(?:^"|``)(?P<another>"|'')?|(?<=[ ([{<])(?:"|'')""")
COLONS_AND_COMMAS = re.compile(r"([:,])(\D|$)")  # of two in a row the second is not split off
SIGNS = re.compile(r"\.\.\.|[;@#$%&?!]")
CLOSING_QUOTE = re.compile(r"(?<=[^'])'(?= )")
BRACKETS_AND_DASHES = re.compile(r"[][(){}<>]|--|''")
SHORT_ENDINGS = re.compile(r"(?<=[^' ])('[sSmMdD]?)(?= )")
LONG_ENDINGS = re.compile(r"(?<=[^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T)(?= )")
TWO_IN_ONE = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(can(?=not\b)|d(?='ye\b)|(?:gim|lem)(?=me\b)|gon(?=na\b)|got(?=ta\b)|more(?='n\b))('?\w+)",
        r"\b(wan)(na)(?=\s)",
        r" ('t)(is)\b",
        r" ('t)(was)\b",
    )
)


def treebank_tokenize(text: str) -> list[str]:
    """Split a text into Treebank tokens; the case does not change."""
    text = LAST_PERIOD.sub(r" .\1 ", text)
    text = OPENING_QUOTES.sub(lambda quote: " `` `` " if quote["another"] else " `` ", text)
    text = COLONS_AND_COMMAS.sub(r" \1 \2", text)
    text = SIGNS.sub(r" \g<0> ", text)
    text = CLOSING_QUOTE.sub(" '", text)
    text = BRACKETS_AND_DASHES.sub(r" \g<0> ", text).replace('"', " '' ")
    text = SHORT_ENDINGS.sub(r" \1", f" {text} ")  # the patterns need a space after the ending
    text = LONG_ENDINGS.sub(r" \1", text)
    for pair in TWO_IN_ONE:
        text = pair.sub(r" \1 \2 ", text)
    return text.split()
