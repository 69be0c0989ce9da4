import os
import re
import subprocess
import sys
import textwrap
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import galr
from galr import __main__
from galr.__main__ import COMMAND_EXTRAS, COMMANDS, main
from galr.devices import resolve_device
from galr.errors import EXTRAS, DeviceError, ExtraError, printable

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def extra_packages(extra):
    """Names of the packages that an extra installs, those of the extras it includes among them."""
    packages = set()
    for need in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if need.name == "galr":
            packages |= {name for inner in need.extras for name in extra_packages(inner)}
        else:
            packages.add(canonicalize_name(need.name))
    return packages


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert exit_.value.code == 0 and f"galr {command}" in text and "OUT" in text


def test_an_interrupt_is_one_line_without_a_traceback(capsys, monkeypatch):
    def interrupt(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("galr.__main__.run", interrupt)
    assert main(["search"]) == 130
    assert capsys.readouterr().err == "galr: interrupted\n"


def run_with_closed_output(code, *, both=False):
    """Run code in a process whose standard output nobody reads any more: its exit code and standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=writer,
        stderr=writer if both else subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    return result.returncode, result.stderr


@pytest.mark.parametrize("both", [False, True])
def test_a_reader_that_has_read_enough_ends_any_command_quietly(both):
    help_page = "from galr.__main__ import main; import sys; sys.exit(main(['search', '--help']))"
    code, messages = run_with_closed_output(help_page, both=both)
    assert code in (0, 141) and not messages  # argparse may have noticed by itself
    lines = """
        import sys
        from galr import __main__

        def print_lines(argv):
            for line in range(100_000):
                print("line", line, flush=line % 2)
            raise AssertionError("the command goes on")

        __main__.run = print_lines
        sys.exit(__main__.main(["search"]))
    """
    assert run_with_closed_output(lines, both=both) == (141, None if both else "")


def test_a_broken_pipe_that_is_not_the_output_keeps_its_traceback(monkeypatch):
    def lose_a_worker(argv):
        raise BrokenPipeError

    monkeypatch.setattr("galr.__main__.run", lose_a_worker)
    with pytest.raises(BrokenPipeError):
        main(["train"])


LONG = "a" * 10_000


@pytest.mark.parametrize(
    "words",
    [
        [LONG],
        ["show", "--metrics", "x", "--report", "y", LONG],
        ["search", "--index", LONG, "two ships"],
        ["search", "--index", "x", "--k", LONG],
        ["index", "--run", LONG, "--output", "x"],
        ["evaluate", "--similarity", f"{LONG}.npy", "--output", "x.csv"],
    ],
)
def test_a_long_word_is_not_echoed_whole(words, capsys):
    assert main(words) == 2
    line = capsys.readouterr().err
    assert line.startswith("galr: ") and line.count("\n") == 1 and len(line) < 1500
    assert "a" * 100 in line and "…" in line


def test_a_message_keeps_the_letters_of_every_script_and_no_control_character():
    assert printable("飞机 é 'x'") == "飞机 é 'x'"
    assert printable("a\nb\x1b[2J\u202e\udcff") == r"a\nb\x1b[2J\u202e\udcff"
    assert printable("ab" * 99, 10) == "ababababab…" and printable("a" * 10, 10) == "a" * 10


def test_every_module_of_commands_is_a_command():
    files = {path.stem.replace("_", "-") for path in (ROOT / "galr/commands").glob("[a-z]*.py")}
    assert files == set(COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "ConfigError: argument command: invalid choice: 'nothing'"),
        ([], "ConfigError: the following arguments are required: command"),
        (["folds"], "the following arguments are required: --dataset"),
        (
            [
                "folds",
                "--dataset",
                "none.h5",
                "--count",
                "1",
                "--validation",
                "0.2",
                "--seed",
                "1",
                "--output",
                "f.csv",
            ],
            "StoreError: none.h5 does not exist",
        ),
    ],
)
def test_an_explained_error_is_one_line_and_exit_code_2(words, message, capsys):
    assert main(words) == 2
    output = capsys.readouterr()
    assert message in output.err and output.err.count("\n") == 1 and output.out == ""


# Packages that take longer to import than --help may.
HEAVY = sorted({*EXTRAS, "jsonschema", "matplotlib", "yaml"} - {"pkg_resources"})


def test_no_help_imports_a_heavy_package():
    code = f"""
        import contextlib, io, sys
        from galr.__main__ import COMMANDS, main
        for command in COMMANDS:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
                main([command, "--help"])
            print(command, *sorted(sys.modules.keys() & set({HEAVY})))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True
    )
    # What one help imports stays imported in the lines of those after it.
    assert result.stdout.split() == list(COMMANDS)


def test_every_package_of_an_extra_is_in_the_table_with_an_extra_that_installs_it():
    distributions = packages_distributions()
    for module, extra in EXTRAS.items():
        names = {canonicalize_name(name) for name in distributions[module]}
        assert names & extra_packages(extra), (module, extra)
    imports = set()
    for path in (ROOT / "galr").rglob("*.py"):
        imports |= set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE))
    imports.discard("referencing")  # a part of jsonschema
    base = {canonicalize_name(Requirement(need).name) for need in PROJECT["dependencies"]}
    third_party = {name for name in imports & distributions.keys() if name != "galr"}
    for module in third_party - EXTRAS.keys():
        assert base & {canonicalize_name(name) for name in distributions[module]}, module
    assert COMMAND_EXTRAS.keys() <= COMMANDS.keys()
    assert set(COMMAND_EXTRAS.values()) <= PROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [
        ("train", "torch", "train"),
        ("regions", "torch", "detect"),
        ("search", "faiss", "search"),
        ("download", "requests", "workflow"),
    ],
)
def test_a_missing_extra_is_one_line_that_names_it(command, package, extra, capsys, monkeypatch):
    def import_without(name):
        raise ModuleNotFoundError(f"No module named '{package}'", name=f"{package}.nn")

    monkeypatch.setattr(__main__.importlib, "import_module", import_without)
    assert main([command]) == 2
    assert capsys.readouterr().err == (
        f"galr: ExtraError: the package {package} is not installed; run: pip install 'galr[{extra}]'\n"
    )


def test_load_names_a_missing_extra(monkeypatch):
    for module in ("galr.encoder", "galr.encoder.encoder"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ExtraError, match=r"pip install 'galr\[train\]'"):
        galr.load("model")


def test_a_missing_module_of_no_extra_keeps_its_traceback(monkeypatch):
    def import_without(name):
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    monkeypatch.setattr(__main__.importlib, "import_module", import_without)
    with pytest.raises(ModuleNotFoundError, match="numpy"):
        main(["data"])


def test_an_absent_device_is_an_error():
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(DeviceError, match=r"cuda:99 .*this machine has \d+ CUDA"):
        resolve_device("cuda:99")
    with pytest.raises(DeviceError, match=r"'gpu' is no.* device; choose auto"):
        resolve_device("gpu")


def test_nothing_in_the_package_imports_snakemake():
    for path in (ROOT / "galr").rglob("*.py"):
        assert not re.search(r"(import|from) snakemake", path.read_text()), path


def test_the_lock_has_every_dependency_and_no_address():
    lock = (ROOT / "requirements.txt").read_text()
    for need in map(Requirement, PROJECT["dependencies"]):
        assert f"\n{need.name}==" in lock.replace("[reports]", ""), need.name
    for extra in ("train", "detect", "search", "workflow"):
        for name in extra_packages(extra):
            assert re.search(rf"^{name}(\[\w+\])?==", lock, re.MULTILINE), name
    assert "://" not in lock
