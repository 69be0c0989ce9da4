"""Names in the workflow's targets: the files that define them, and the errors of targets that cannot be made."""

import re
from pathlib import Path

import pytest

from galr.config import SCHEMAS, read_yaml
from galr.errors import ConfigError
from galr.targets import Specs, explain_target, make_hint, one_of, read_specs, unknown_target

SPECS = Specs(
    Path("config/datasets"), {"ucm": 1, "a+b c": 2}, {"half": ConfigError("half.yaml is broken")}
)
DETECTORS = Specs(Path("config/detectors"), {"hrplanes": 1}, {})
VARIANTS = ["corrected", "global"]
UNKNOWN = re.compile(unknown_target(SPECS.usable, DETECTORS.usable, VARIANTS, 2))


def read(path):
    return read_yaml(path, SCHEMAS / "archives.schema.yaml")


def test_leftovers_of_editors_are_not_read(tmp_path):
    (tmp_path / "ucm.yaml").write_text("[]")
    (tmp_path / "._ucm.yaml").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    (tmp_path / ".#ucm.yaml").symlink_to("user@machine.123")
    (tmp_path / "#ucm.yaml#").write_text("[")
    for name in ("ucm.yaml~", "ucm.yaml.bak", ".ucm.yaml.swp", "#ucm.yaml"):
        (tmp_path / name).write_text("[")
    specs = read_specs(tmp_path, lambda path: path.read_text())
    assert specs == Specs(tmp_path, {"ucm": "[]"}, {})


def test_a_file_with_the_other_suffix_of_yaml_is_named(tmp_path):
    (tmp_path / "mine.yml").write_text("[]")
    specs = read_specs(tmp_path, read)
    assert str(specs.explain("mine")) == (
        f"{tmp_path}/mine.yml is not read, only .yaml is; rename it"
    )


def test_a_file_that_cannot_be_used_is_an_error_of_its_name_alone(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: b: c\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "good.yaml").write_text("- {file: x.zip, urls: [], sha256: null}\n")
    specs = read_specs(tmp_path, read)
    assert list(specs.usable) == ["good"]
    assert str(specs.explain("bad")) == (
        f"{tmp_path}/bad.yaml is not YAML: line 1, column 5: mapping values are not allowed here"
    )
    assert "binary.yaml is not YAML: it is not UTF-8 text" in str(specs.explain("binary"))


@pytest.mark.parametrize("name", ["a{b}", " a", "a ", "a\nb"])
def test_a_name_that_no_target_can_contain_is_refused(name, tmp_path):
    (tmp_path / f"{name}.yaml").write_text("[]")
    specs = read_specs(tmp_path, read)
    assert not specs.usable and "rename the file" in str(specs.explain(name))


@pytest.mark.parametrize("name", ["a+b", "a b", "a.b", "Größe", "(1)", "a|b", "-x", "$x"])
def test_other_names_are_accepted(name, tmp_path):
    (tmp_path / f"{name}.yaml").write_text("[]")
    assert list(read_specs(tmp_path, lambda path: path.stem).usable) == [name]
    assert re.fullmatch(one_of([name]), name)
    assert not re.fullmatch(one_of([name]), "ab")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("results/nosuch/metrics.csv", "no config/datasets/nosuch.yaml; there are ucm, a+b c, half"),
        ("results/umc/corrected/fold0/ranks.h5", "no config/datasets/umc.yaml; did you mean 'ucm'? there are"),
        ("results/half/dataset.h5", "half.yaml is broken"),
        ("results/ucm/corect/graphs.h5", "variant 'corect' is unknown; did you mean 'corrected'? there are"),
        ("results/ucm/local/fold0/metrics.csv", "'local' is not among those that run; add it to the key run"),
        ("results/ucm/global/fold2/metrics.csv", "there is no fold2; folds.count is 2, so there are fold0, fold1"),
        ("results/ucm/global/foldx/metrics.csv", "there is no foldx"),
        ("results/ucm/metrix.csv", "no rule makes results/ucm/metrix.csv; did you mean results/ucm/metrics.csv? there"),
        ("results/ucm/metrics.tsv", "did you mean results/ucm/metrics.csv? there are dataset.h5, data_report.csv,"),
        ("results/ucm/report", "did you mean results/ucm/report.html"),
        ("results/ucm/graph.h5", "there are dataset.h5"),
        ("results/ucm", "is a folder; name a file in it: results/ucm/dataset.h5, results/ucm/data_report.csv"),
        ("results/ucm/global", "is a folder; name a file in it: results/ucm/global/graphs.h5, "),
        ("results/ucm/global/fold1", "name a file in it: results/ucm/global/fold1/checkpoint.pt"),
        ("results/ucm/global/fold1/rank.h5", "did you mean results/ucm/global/fold1/ranks.h5? there are checkpoint.pt"),
        ("results/ucm/global/fold1/checkpoint.pth", "did you mean results/ucm/global/fold1/checkpoint.pt? there"),
        ("results/ucm/global/graph.h5", "did you mean results/ucm/global/graphs.h5? there are graphs.h5, graphs.txt"),
        ("resources/detectors/mine/ap.csv", "no config/detectors/mine.yaml; there are hrplanes"),
    ],
)  # fmt: skip
def test_an_unknown_name_in_a_target_is_named(target, message):
    assert UNKNOWN.fullmatch(target)
    known = [*VARIANTS, "local"]
    assert message in str(explain_target(target, SPECS, DETECTORS, VARIANTS, known, 2))


@pytest.mark.parametrize(
    "path",
    [
        "results/ucm/metrics.csv",
        "results/a+b c/corrected/graphs.h5",
        "results/ucm/global/fold1/ranks.h5",
        "resources/detectors/hrplanes/ap.csv",
        "results/nosuch/notes.txt",
        "results/ucm/boxes.json",  # a file of the user's own
        "results/ucm/corrected/fold0/run.json",
        "resources/nosuch/files",
        "elsewhere/nosuch/metrics.csv",
    ],
)
def test_other_paths_are_left_to_the_rules(path):
    assert not UNKNOWN.fullmatch(path)


def test_a_hint_names_a_target_relative_to_the_root_of_the_workflow(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    target = "results/my data/corrected/fold0/similarity.h5"
    call = f"run: snakemake '{target}'"
    assert make_hint(Path(target)) == make_hint(tmp_path / target) == call
    assert (
        make_hint(Path("results/x/regions.h5"), force=True)
        == "run: snakemake --force results/x/regions.h5"
    )
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert make_hint(Path("..").resolve() / target) == f"in {tmp_path} {call}"


def test_a_hint_names_no_target_that_no_rule_makes(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    assert make_hint(Path("results/x/notes.h5"), "galr data") == "make it with galr data"
    assert make_hint(Path("x.h5"), "galr data", force=True) == "make it anew with galr data"
    assert make_hint(Path("x.csv")) == "give another file"
    monkeypatch.undo()
    assert (
        make_hint(Path("/elsewhere/results/x/dataset.h5"), "galr data") == "make it with galr data"
    )
