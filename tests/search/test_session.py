"""Sessions of `galr search`: a terminal's lines, and files as editors write them."""

import io
import os
import pty
import subprocess
import sys

import pytest

from galr.search import session
from galr.search.session import HELP, read_lines

CODE = (
    "from galr.search.session import read_lines\nfor line in read_lines(True): print('got', line)"
)


def read_bytes(monkeypatch, content, commands=True):
    """The queries of a file with some bytes on standard input."""
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", stream)
    return list(read_lines(commands))


@pytest.mark.parametrize(
    "content",
    [
        "two ships\na café\n".encode(),
        "\ufefftwo ships\r\n\r\n \t\r\na café  \r\n".encode(),
        "two ships\r  a café".encode(),
        "\ufefftwo ships\n\ufeffa café".encode(),  # two files, one after the other
        "two ships\r\na café\r\n".encode("utf-16"),
        "\ufefftwo ships\r\na café\r\n".encode("utf-16-be"),
    ],
)
def test_a_file_has_the_same_queries_whichever_editor_wrote_it(monkeypatch, content):
    assert read_bytes(monkeypatch, content) == ["two ships", "a café"]


def test_a_byte_that_is_no_text_ends_no_session(monkeypatch):
    assert read_bytes(monkeypatch, b"caf\xe9 a\nb") == ["caf\ufffd a", "b"]


def test_help_and_quit_are_commands_but_to_programs(monkeypatch, capsys):
    content = b"one\nhelp\ntwo help\nquit\nthree\n"
    assert read_bytes(monkeypatch, content) == ["one", "two help"]
    out, err = capsys.readouterr()
    assert out == "" and err == f"{HELP}\n"
    everything = ["one", "help", "two help", "quit", "three"]
    assert read_bytes(monkeypatch, content, commands=False) == everything


def in_terminal(lines, stdout=None):
    """What a terminal shows of a session in which some lines are typed."""
    control, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdin=terminal, stderr=terminal, stdout=stdout or terminal
    )
    os.close(terminal)
    os.write(control, lines)
    shown = b""
    while True:
        try:
            part = os.read(control, 4096)
        except OSError:  # Linux: the terminal is closed
            break
        if not part:
            break
        shown += part
    os.close(control)
    assert process.wait(timeout=30) == 0
    return shown.decode().replace("\r", "")


def test_a_terminal_has_a_prompt_and_ends_with_quit():
    shown = in_terminal(b"two ships\nhelp\nquit\nnever\n")
    assert "> " in shown and "got two ships\n" in shown and "got never" not in shown
    assert "the end, as Ctrl-D" in shown and "got help" not in shown


def test_the_prompt_is_not_written_to_a_file(tmp_path):
    with (tmp_path / "out.txt").open("w") as file:
        shown = in_terminal(b"two ships\n\x04", stdout=file)
    assert (tmp_path / "out.txt").read_text() == "got two ships\n" and "> " in shown


def test_ctrl_c_ends_a_session(monkeypatch, capsys):
    def interrupt(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "is_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", interrupt)
    assert list(read_lines(True)) == []
