"""Our tokens against those of NLTK's tokenizer, which only the tests use."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nltk.tokenize import TreebankWordTokenizer

from galr.data.treebank import treebank_tokenize

SENTENCES = [
    "",
    " \t\n",
    "Two planes are parked beside a building .",
    "Many buildings, roads and trees... are in a residential area.",
    "They'll say it isn't one; it's John's, and we've (not) been there!",
    'He said: "two ships" [or three] -- it\'s {unclear}, "perhaps".',
    "''quoted'' and ``quoted'' and \"quoted\"'s end",
    '"" "\' `` "`` ``" (" \'\' [\'\'',
    "$3.88 is 100%, #1 & @home; 1,000 or 1:30, a:b, a::b, ,,, ::",
    "St. Peter's at 5 p.m. in the U.S. (e.g. here.)",
    "It ends.'",
    'It ends.")\n',
    "It ends....",
    "It ends. . .",
    "dogs' and students' x's' y's'( don't's I'd've shouldn't've",
    "Cannot you wanna? cannot-cannot gimme, gonna, gotta, lemme; more'n d'ye wanna\n",
    "'Tis 'twas 'tis'twas 'twas'tis 't",
    "o'clock rock 'n' roll '90s n't 'll N'T 'RE 'S 'Ve",
    "line\none's\ntwo's three's\tfour.\nfive.",
    "über São Paulo\u2019s “Flughafen” — 飛行機 … ٣,٤ ½ naïve\u00a0café",
    '<a href="x">1 < 2 > 0</a> {}[]() a/b c\\d e_f',
    "!?!? ;; && @@ ## $$ %% -- --- ---- . .. ... .... .....",
]
SIGNS = [*"\"'`,:.-;@#$%&?!()[]{}<>/_…—é飛", "''", "``", "..", "...", "--", " ", "  ", "\n", "\t"]
WORDS = """
a n s x is 7 3.88 ٣ n't N'T 's 'S 'm 'd 'D 't 'll 're 'RE 've 'tis 'Tis 'twas
cannot Cannot d'ye gimme gonna gotta lemme more'n wanna
"""
# NLTK 3.10 reads its patterns with another engine, whose digits and blanks are those of a later Unicode.
ANYTHING = st.characters(exclude_categories=["Cs", "Cc", "Nd"])


def nltk(text):
    return TreebankWordTokenizer().tokenize(text)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_chosen_sentences_have_the_tokens_of_nltk(sentence):
    assert treebank_tokenize(sentence) == nltk(sentence)
    assert treebank_tokenize(sentence.lower()) == nltk(sentence.lower())


@settings(deadline=None)
@given(st.lists(st.sampled_from([*SIGNS, *WORDS.split()]), max_size=14).map("".join))
@example("x's' y")  # a closing quote shows an ending
def test_random_pieces_of_sentences_have_the_tokens_of_nltk(text):
    assert treebank_tokenize(text) == nltk(text)


@settings(deadline=None)
@given(st.text(ANYTHING))
def test_random_text_has_the_tokens_of_nltk(text):
    assert treebank_tokenize(text) == nltk(text)
