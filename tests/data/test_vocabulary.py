import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.tokenize import TreebankWordTokenizer

from galr.data.vocabulary import PUNCTUATION, UNKNOWN, UnknownWords, Vocabulary, tokenize
from galr.errors import ConfigError, DataError


def test_tokens_are_lower_case_treebank_tokens_without_punctuation():
    assert tokenize("Two planes (white) aren't here, are they?  #1!") == [
        "two", "planes", "white", "are", "n't", "here", "are", "they", "1",
    ]  # fmt: skip


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_sentences_have_the_tokens_of_nltk_without_punctuation(sentence):
    expected = TreebankWordTokenizer().tokenize(sentence.lower())
    assert tokenize(sentence) == [token for token in expected if token not in PUNCTUATION]


@pytest.mark.parametrize(
    ("sentence", "tokens"),
    [
        ("Ein Flugzeug über São Paulo — 飛行機 .", "ein flugzeug über são paulo 飛 行 機"),
        ("港口里停着许多船。", "港 口 里 停 着 许 多 船"),
        ("2架飞机\uff0cB-52、F16", "2 架 飞 机 b-52 f16"),
        ("二\u3007二\u3007年・データ", "二 \u3007 二 \u3007 年 デ ー タ"),
        ("ผู้หญิงกำลังเดิน", "ผู้ ห ญิ ง ก ำ ลั ง เ ดิ น"),
        ("ສະບາຍດີ", "ສ ະ ບ າ ຍ ດີ"),
        ("ភាសាខ្មែរ", "ភា សា ខ្ មែ រ"),
        ("မြန်မာ ၂၀၂၄", "မြ န် မာ ၂၀၂၄"),
        ("हवाई जहाज़।", "हवाई जहाज़"),
        ("한국어 비행기가 있다.", "한국어 비행기가 있다"),
        ("١٢ طائرات، ٣", "١٢ طائرات ٣"),
        ("Ελληνικά· ΛΌΓΟΣ", "ελληνικά λόγος"),
        ("самолёт стоит", "самолёт стоит"),
        ("at the water\u2019s edge “here” 12 km²…", "at the water 's edge here 12 km²"),
        ("a well\u2011kept pier", "a well-kept pier"),
        ("\ufeffplane\u200bship", "plane ship"),
        ("می\u200cشود", "می\u200cشود"),
        ("— … 。 😀", ""),
    ],
)
def test_words_of_any_script_are_tokens(sentence, tokens):
    assert tokenize(sentence) == tokens.split()


@given(st.text())
def test_composed_and_decomposed_accents_have_the_same_tokens(sentence):
    composed, decomposed = (unicodedata.normalize(form, sentence) for form in ("NFC", "NFD"))
    assert tokenize(composed) == tokenize(decomposed)


@given(st.text())
def test_tokens_beyond_ascii_have_a_letter_or_digit(sentence):
    for token in tokenize(sentence):
        assert token.isascii() or any(character.isalnum() for character in token)


def test_a_vocabulary_has_the_frequent_tokens_and_encodes_them():
    known = Vocabulary.build(["two planes", "two ships", "two two"], min_count=2)
    assert known.tokens == ("two",) and len(known) == 3
    assert known.encode(["Two planes", "", "two two"], 9) == [[2, UNKNOWN], [UNKNOWN], [2, 2]]


def test_stop_words_can_be_left_out():
    sentence = "there are two planes between a hangar and the road , and beside it"
    kept = Vocabulary.build([sentence], 1)
    assert {"between", "a", "the", "are", "it", "two", "beside"} < {*kept.tokens}
    assert Vocabulary.build([sentence], 1, stop_words=False).tokens == (
        "beside", "hangar", "planes", "road", "two",
    )  # fmt: skip
    assert kept.encode([sentence], 99)[0].count(UNKNOWN) == 0


def test_the_order_of_sentences_does_not_change_the_ids():
    sentences = ["a plane", "beside a ship", "a tank"]
    assert Vocabulary.build(sentences, 1) == Vocabulary.build(sentences[::-1], 1)


def test_a_sentence_of_400_words_is_cut_with_a_warning():
    known = Vocabulary.build(["word"], 1)
    with pytest.warns(UserWarning, match="1 sentences of more than 100 words were cut"):
        assert known.encode(["word " * 400, "word"], 100) == [[2] * 100, [2]]


@pytest.mark.parametrize(
    ("sentences", "min_count", "stop_words", "error", "message"),
    [
        (["。", "—"], 1, True, DataError, "the training sentences have no word"),
        ([], 1, True, DataError, "the training sentences have no word"),
        (["两架飞机", "飞机"], 5, True, ConfigError,
         "min_word_count = 5 times; the most frequent, '[飞机]', occurs 2 times; set min_word_count to 2 or"),
        (["the a of", "the plane"], 2, False, ConfigError, "only English stop words .* train.stop_words is false"),
    ],
)  # fmt: skip
def test_an_empty_vocabulary_is_refused_with_the_reason(
    sentences, min_count, stop_words, error, message
):
    with pytest.raises(error, match=message):
        Vocabulary.build(sentences, min_count, stop_words=stop_words)


def test_chinese_sentences_of_the_same_words_share_a_vocabulary():
    known = Vocabulary.build(["两架飞机停在机场上", "两架飞机停在机场上。"], 2)
    assert known.tokens == tuple(sorted(set("两架飞机停在机场上")))
    assert UNKNOWN not in known.encode(["飞机场"], 9)[0]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (None, "a query is a sentence, got None"),
        (b"plane", "a query is a sentence, got b'plane'"),
        ("", "the query '' has no word"),
        ("\ufeff 。", "has no word"),
        ("飞机", "the model knows no word of '飞机'"),
    ],
)
def test_a_query_needs_a_known_word(query, message):
    with pytest.raises(ConfigError, match=message):
        Vocabulary(("plane",)).check_query(query)


def test_a_query_with_one_known_word_is_answered():
    Vocabulary(("plane",)).check_query("飞机 Plane")


def test_unknown_words_are_counted_by_split():
    known = Vocabulary(("plane", "two"))
    counts = known.count_unknown(
        {"val": ["two planes", "two", "。"], "test": ["plane"], "none": []}
    )
    assert counts == {
        "val": UnknownWords(words=3, unknown=1, sentences=3, unknown_sentences=1),
        "test": UnknownWords(1, 0, 1, 0),
        "none": UnknownWords(0, 0, 0, 0),
    }
    assert counts["val"].share == pytest.approx(1 / 3) and counts["none"].share == 0
    assert counts["test"].warnings("test") == []
    (line,) = counts["val"].warnings("val")
    assert line.startswith("1 of 3 sentences of the val split have no word of the vocabulary")


def test_a_split_of_mostly_unknown_words_is_warned_of():
    assert UnknownWords(10, 5, 2, 0).warnings("test") == []
    (line,) = UnknownWords(10, 6, 2, 0).warnings("test")
    assert line.startswith("60 % of the words of the test split are not in the vocabulary")


def test_stop_words_that_were_left_out_on_purpose_are_not_unknown():
    sentences = ["there are planes on the ground"]
    known = Vocabulary.build(sentences, 1, stop_words=False)
    counts = known.count_unknown({"test": sentences}, stop_words=False)["test"]
    assert counts == UnknownWords(words=2, unknown=0, sentences=1, unknown_sentences=0)
    assert known.count_unknown({"test": sentences})["test"].unknown == 4
