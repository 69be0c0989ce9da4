"""A pretrained tokenizer as a vocabulary, against the library tokenizers itself."""

import pytest

from galr.data.subwords import SubwordVocabulary, open_vocabulary
from galr.data.vocabulary import Vocabulary
from galr.errors import ConfigError

from ..tiny_bert import build_tokenizer  # isort: skip

SENTENCES = ["Two white planes, beside a bar.", "a field", "planes " * 30]


@pytest.fixture(scope="module")
def vocabulary():
    return SubwordVocabulary(build_tokenizer().to_str())


def test_token_ids_are_the_librarys(vocabulary):
    library = build_tokenizer()
    ids = vocabulary.encode(SENTENCES, 99)
    assert ids == [library.encode(sentence).ids for sentence in SENTENCES]
    assert len(vocabulary) == library.get_vocab_size() and vocabulary.tokens == ()
    tokens = [library.id_to_token(token) for token in ids[1]]
    assert tokens == ["[CLS]", "a", "field", "[SEP]"]


def test_long_sentences_are_cut_before_the_last_token_and_counted(vocabulary):
    with pytest.warns(UserWarning, match="2 sentences of more than 5 tokens were cut"):
        ids = vocabulary.encode(SENTENCES, 5)
    whole = vocabulary.encode(SENTENCES, 99)
    assert [len(row) for row in ids] == [5, 4, 5] and ids[1] == whole[1]
    for cut, row in zip(ids, whole, strict=True):
        assert cut[:-1] == row[: len(cut) - 1] and cut[-1] == row[-1]


def test_words_of_another_script_are_unknown_and_new_words_are_not(vocabulary):
    assert vocabulary.unknown_words("two unseenwords beside корабль корабль and über 飞机") == [
        "корабль",
        "飞",
        "机",
    ]
    vocabulary.check_query("unseenword корабль")
    with pytest.raises(ConfigError, match="no word"):
        vocabulary.check_query("飞机 корабль")
    with pytest.raises(ConfigError):
        vocabulary.check_query("...")
    with pytest.raises(ConfigError):
        vocabulary.check_query(7)


def test_unknown_words_of_a_split_are_counted_as_of_a_word_list(vocabulary):
    sentences = ["two planes", "корабль", "a bar корабль"]
    counts = vocabulary.count_unknown({"test": sentences})["test"]
    known = Vocabulary(("a", "bar", "planes", "two"))
    assert counts == known.count_unknown({"test": sentences})["test"]
    assert (counts.unknown, counts.words, counts.unknown_sentences) == (2, 6, 1)


def test_a_models_vocabulary_is_its_tokenizer_or_its_words(vocabulary):
    assert open_vocabulary((), vocabulary.json) == vocabulary
    assert open_vocabulary(["a", "b"], None) == Vocabulary(("a", "b"))
    with pytest.raises(ConfigError, match="the tokenizer cannot be read"):
        open_vocabulary((), "{}")
