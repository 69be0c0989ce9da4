import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    number: int = option("a number")
    fraction: float | None = option("a fraction", default=0.5)
    path: Path | None = option("a path", default=None)
    choice: Literal["one", "two"] = option("a choice", default="one")
    many: tuple[float, ...] = option("numbers", default=(1.0,))
    some: tuple[int, ...] | None = option("numbers, or none", default=None)
    yes_no: bool = option("a switch", default=False)


def parse(*words):
    parser = argparse.ArgumentParser()
    Options.add_arguments(parser)
    return Options.from_args(parser.parse_args(words))


def test_a_field_is_a_flag():
    assert parse("--number", "3") == Options(number=3)
    words = [
        "--number",
        "3",
        "--fraction",
        "none",
        "--path",
        "a/b",
        "--choice",
        "two",
        "--many",
        "1",
        "2.5",
        "--yes-no",
    ]
    assert parse(*words) == Options(
        number=3, fraction=None, path=Path("a/b"), choice="two", many=(1.0, 2.5), yes_no=True
    )
    assert parse("--number", "3", "--no-yes-no").yes_no is False
    assert parse("--number", "3", "--some", "4", "5").some == (4, 5)
    assert parse("--number", "3", "--some", "none").some is None


@pytest.mark.parametrize(
    "words", ["", "--number x", "--number 1 --choice three", "--number 1 --unknown 2"]
)
def test_an_invalid_flag_is_an_error(words, capsys):
    with pytest.raises(SystemExit):
        parse(*words.split())
    assert "error" in capsys.readouterr().err


@dataclass(frozen=True, kw_only=True)
class Query(OptionGroup):
    word: str | None = option("a word", default=None, positional=True)
    number: int = option("a number", default=1)


@pytest.mark.parametrize(
    ("words", "word", "number"),
    [
        ([], None, 1),
        (["two ships"], "two ships", 1),
        (["--number", "3", "none"], "none", 3),
        (["two ships", "--number", "3"], "two ships", 3),
        (["--number", "3", "--", "-x"], "-x", 3),
    ],
)
def test_a_positional_field_is_a_word(words, word, number):
    parser = argparse.ArgumentParser()
    Query.add_arguments(parser)
    assert Query.from_args(parser.parse_args(words)) == Query(word=word, number=number)


@dataclass(frozen=True, kw_only=True)
class Words(OptionGroup):
    words: tuple[str, ...] = option("words", default=(), positional=True)
    number: int = option("a number", default=1)


@pytest.mark.parametrize("words", [[], ["none"], ["two", "ships", ""]])
def test_a_positional_tuple_takes_any_number_of_words(words):
    parser = argparse.ArgumentParser()
    Words.add_arguments(parser)
    assert Words.parse(parser, [*words, "--number", "3"]) == Words(words=tuple(words), number=3)
    assert "words\n" in parser.format_help()  # without a default


def test_a_positional_field_without_a_default_is_required(capsys):
    @dataclass(frozen=True, kw_only=True)
    class Required(OptionGroup):
        word: str = option("a word", positional=True)

    parser = argparse.ArgumentParser()
    Required.add_arguments(parser)
    assert Required.from_args(parser.parse_args(["x"])) == Required(word="x")
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "word" in capsys.readouterr().err
