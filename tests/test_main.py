import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from galr.__main__ import COMMANDS, main
from galr.devices import resolve_device
from galr.errors import DeviceError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("stage", COMMANDS)
def test_every_stage_explains_itself(stage, capsys):
    with pytest.raises(SystemExit) as left:
        main([stage, "--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0 and f"galr {stage}" in said and "OUT" in said


def test_whoever_interrupts_gets_a_line_and_no_traceback(capsys, monkeypatch):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("galr.__main__.run", interrupted)
    assert main(["search"]) == 130
    assert capsys.readouterr().err == "galr: interrupted\n"


def test_every_stage_file_is_a_command():
    files = {path.stem.replace("_", "-") for path in (ROOT / "galr/stages").glob("[a-z]*.py")}
    assert files == set(COMMANDS)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing"], "ConfigError: argument stage: invalid choice: 'nothing'"),
        ([], "ConfigError: the following arguments are required: stage"),
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
def test_a_mistake_is_one_line_and_exit_code_2(words, says, capsys):
    assert main(words) == 2
    said = capsys.readouterr()
    assert says in said.err and said.err.count("\n") == 1 and said.out == ""


def test_help_is_quick_because_it_loads_no_stage():
    code = "import sys; from galr.__main__ import main; main(['evaluate']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_an_absent_device_is_refused():
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(DeviceError, match=r"cuda:99 was asked for and this machine has \d+ CUDA"):
        resolve_device("cuda:99")
    with pytest.raises(DeviceError, match="'gpu' is no device; choose auto"):
        resolve_device("gpu")


def test_nothing_in_the_package_imports_snakemake():
    for path in (ROOT / "galr").rglob("*.py"):
        assert (
            "import snakemake" not in path.read_text() and "from snakemake" not in path.read_text()
        )


def test_the_lock_holds_every_dependency_and_no_address():
    lock = (ROOT / "requirements.txt").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for need in project["dependencies"]:
        name = need.split("[")[0].split(">")[0].split("<")[0]
        assert f"\n{name}==" in lock.replace("[reports]", ""), name
    assert "://" not in lock
