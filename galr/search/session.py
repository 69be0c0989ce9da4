"""A session of queries: lines of a terminal, with a prompt and a history, or of any other standard input."""

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import suppress

HELP = """\
a sentence                     the images that it describes
a sentence -another +a third   the same, less like another and more like a third; 2:another counts twice
"a sentence"                   a sentence in which a word may begin with + or -
help                           these lines
quit                           the end, as Ctrl-D"""
PROMPT = "> "


def is_terminal() -> bool:
    """Whether a person reads and types: what is typed is on the screen already."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def read_lines(commands: bool) -> Iterator[str]:
    """Yield the queries of standard input: its lines that are not empty, without white space at their ends.

    Args:
        commands: whether the lines `help` and `quit` are commands; to a program that waits for an answer to every
            line, they are queries.
    """
    if is_terminal():
        with suppress(
            ImportError
        ):  # not everywhere; `input` uses it for editing and for the history
            import readline  # noqa: F401
        print("a sentence a line; help, quit", file=sys.stderr)
    elif not sys.stdin.isatty():
        _decode_file()
    while (line := _read_line()) is not None:
        query = line.strip().removeprefix("\ufeff").strip()
        if commands and query == "quit":
            return
        if commands and query == "help":
            print(HELP, file=sys.stderr)
        elif query:
            yield query


def _read_line() -> str | None:
    """Read a line; None at the end, which Ctrl-C is, too."""
    try:
        if is_terminal():
            return input(PROMPT)
        if sys.stdin.isatty():  # the output goes to a file, and the prompt is not to be in it
            print(PROMPT, end="", file=sys.stderr, flush=True)
        return sys.stdin.readline() or None
    except (EOFError, KeyboardInterrupt):
        if sys.stdin.isatty():
            print(file=sys.stderr)  # the shell's prompt gets a line of its own
        return None


def _decode_file() -> None:
    """Read a file or a pipe as UTF-8, or as UTF-16 where its byte order mark says so, as Windows' editors write.

    A byte that is neither must not end the session.
    """
    if not isinstance(sys.stdin, io.TextIOWrapper):
        return
    encoding = "utf-8-sig"
    if isinstance(sys.stdin.buffer, io.BufferedReader):
        start = sys.stdin.buffer.peek(2)[:2]
        if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            encoding = "utf-16"
    sys.stdin.reconfigure(encoding=encoding, errors="replace")
