import pytest

from galr.data.vocabulary import UNKNOWN, Vocabulary, tokenize


def test_tokens_are_lower_case_treebank_tokens_without_punctuation():
    assert tokenize("Two planes (white) aren't here, are they?  #1!") == [
        "two", "planes", "white", "are", "n't", "here", "are", "they", "1",
    ]  # fmt: skip


def test_non_ascii_sentences_keep_their_words():
    assert tokenize("Ein Flugzeug über São Paulo — 飛行機 .") == [
        "ein", "flugzeug", "über", "são", "paulo", "—", "飛行機",
    ]  # fmt: skip


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
