import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from galr.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    number: int = setting("a number")
    share: float | None = setting("a share", default=0.5)
    path: Path | None = setting("a path", default=None)
    choice: Literal["one", "two"] = setting("a choice", default="one")
    many: tuple[float, ...] = setting("numbers", default=(1.0,))
    yes_no: bool = setting("a switch", default=False)


def parse(*words):
    parser = argparse.ArgumentParser()
    Flags.add_flags(parser)
    return Flags.from_flags(parser.parse_args(words))


def test_a_field_is_a_flag():
    assert parse("--number", "3") == Flags(number=3)
    said = [
        "--number",
        "3",
        "--share",
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
    assert parse(*said) == Flags(
        number=3, share=None, path=Path("a/b"), choice="two", many=(1.0, 2.5), yes_no=True
    )
    assert parse("--number", "3", "--no-yes-no").yes_no is False


@pytest.mark.parametrize(
    "words", ["", "--number x", "--number 1 --choice three", "--number 1 --unknown 2"]
)
def test_what_no_field_allows_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        parse(*words.split())
    assert "error" in capsys.readouterr().err
