"""Words as the Penn Treebank has them, cut by a few regular expressions: there is nothing to load.

The conventions are those of the Treebank's own script (R. MacIntyre, 1995), and so is the order of the steps,
which decides odd cases: the words are always those of NLTK's `TreebankWordTokenizer`, as the tests show. NLTK
itself takes half as long to import as a query may take to be answered.

- A double quote becomes two backticks where it opens and two apostrophes where it closes.
- Punctuation and brackets are words of their own. A colon or a comma before a digit stays where it is, and of
  all periods only the last of the text is set apart: others may end abbreviations.
- What is written as one word and is two becomes two: `they 'll`, `is n't`, `plane 's`, `can not`.
"""

import re

LAST_PERIOD = re.compile(r"""(?<=[^.])\.([])}>"']*)\s*$""")
# They stand where the text begins, behind a space or a bracket, or right behind another one.
OPENING_QUOTES = re.compile(r"""(?:^"|``)(?P<another>"|'')?|(?<=[ ([{<])(?:"|'')""")
COLONS_AND_COMMAS = re.compile(r"([:,])(\D|$)")  # the second of two stays with what follows
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
    """Cut a text into Treebank words; case stays as it is."""
    text = LAST_PERIOD.sub(r" .\1 ", text)
    text = OPENING_QUOTES.sub(lambda quote: " `` `` " if quote["another"] else " `` ", text)
    text = COLONS_AND_COMMAS.sub(r" \1 \2", text)
    text = SIGNS.sub(r" \g<0> ", text)
    text = CLOSING_QUOTE.sub(" '", text)
    text = BRACKETS_AND_DASHES.sub(r" \g<0> ", text).replace('"', " '' ")
    text = SHORT_ENDINGS.sub(r" \1", f" {text} ")  # endings are seen by the space behind them
    text = LONG_ENDINGS.sub(r" \1", text)
    for pair in TWO_IN_ONE:
        text = pair.sub(r" \1 \2 ", text)
    return text.split()
