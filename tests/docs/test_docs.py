"""The documentation's code blocks: commands parse, Python runs, YAML fits the schemas, tables are those of the code."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from galr.__main__ import COMMANDS, command_parser
from galr.config import SCHEMAS, check_schema

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
MODULE = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
generate = importlib.util.module_from_spec(MODULE)
MODULE.loader.exec_module(generate)


def blocks(page, language):
    """The code blocks of a page in one language."""
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def commands(page, program):
    """The words of every command line of a program in a page's blocks, comments left out."""
    lines = [line for text in blocks(page, "") for line in text.splitlines()]
    return [
        shlex.split(line.partition(" | ")[0], comments=True)[1:]
        for line in lines
        if line.startswith(f"{program} ")
    ]


def mentions(page):
    """The words of every `galr …` in the text of a page."""
    return [shlex.split(text) for text in re.findall(r"`galr ([^`<…]+)`", page.read_text())]


def named(page):
    """A page's name in the list of tests."""
    return str(page.relative_to(ROOT))


GALR = [
    pytest.param(words, id=" ".join(words)[:60])
    for page in PAGES
    for words in commands(page, "galr")
]
MENTIONS = [
    pytest.param(words, id=" ".join(words)[:60])
    for page in PAGES
    for words in mentions(page)
    if words[0] in COMMANDS
]


@pytest.mark.parametrize("words", GALR)
def test_every_command_line_of_the_pages_parses(words):
    parser, command = command_parser(words[0])
    command.Options.parse(parser, words[1:])


@pytest.mark.parametrize("words", MENTIONS)
def test_every_flag_that_a_text_names_exists(words):
    parser, _ = command_parser(words[0])
    known = {flag for action in parser._actions for flag in action.option_strings}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_command_is_on_the_page_of_commands_with_all_its_flags():
    page = generate.commands_page()
    for name in COMMANDS:
        section = page.split(f"## galr {name}\n")[1].split("\n## ")[0]
        parser, _ = command_parser(name)
        for action in parser._actions:
            assert all(flag in section for flag in action.option_strings)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_snakemake_commands_name_files_and_rules_that_exist(page):
    datasets = {path.stem for path in (ROOT / "config/datasets").glob("*.yaml")} | {"harbours"}
    detectors = {path.stem for path in (ROOT / "config/detectors").glob("*.yaml")} | {"mine"}
    for words in commands(page, "snakemake"):
        for word in words:
            if word.startswith("config/"):
                assert (ROOT / word).exists(), word
            if word.startswith("results/") and "<" not in word:
                assert word.split("/")[1] in datasets, word
            if word.startswith("resources/detectors/"):
                assert word.split("/")[2] in detectors, word


PYTHON = [pytest.param(page, id=named(page)) for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", PYTHON)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, tmp_path):
    code = "\n".join(blocks(page, "python"))
    if "galr.load(" in code:
        pytest.skip("needs a trained model; tests/test_load.py runs it")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_tutorial_of_matrices_works_as_it_stands(tmp_path):
    page = ROOT / "docs/tutorials/own-matrix.md"
    code = "\n".join(blocks(page, "python"))
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    for words in commands(page, "galr"):
        if (
            words[0] in ("evaluate", "rerank")
            and {"S.npy", "V.npy"} & set(words)
            and "--output" in words
        ):
            done = subprocess.run(
                [sys.executable, "-m", "galr", *words],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    assert (tmp_path / "M.csv").exists() and (tmp_path / "R.npy").exists()


def test_the_dataset_files_of_the_tutorial_fit_the_schema():
    texts = blocks(ROOT / "docs/tutorials/own-data.md", "yaml")
    whole = yaml.safe_load(texts[0])
    check_schema(whole, SCHEMAS / "dataset.schema.yaml", "the first block")
    for text in texts[1:]:
        changes = yaml.safe_load(text)
        changed = {
            key: value
            for key, value in whole.items()
            if "archives" not in changes or key != "folder"
        }
        check_schema(changed | changes, SCHEMAS / "dataset.schema.yaml", text)


def test_the_detector_file_of_the_tutorial_fits_the_schema():
    (text,) = blocks(ROOT / "docs/tutorials/own-detector.md", "yaml")
    check_schema(yaml.safe_load(text), SCHEMAS / "detector.schema.yaml", "the block")


def test_the_table_of_keys_is_that_of_the_schema():
    text = (ROOT / "config/README.md").read_text()
    table = text.split(generate.BEGIN)[1].split(generate.END)[0].strip()
    assert table == generate.keys_table().strip(), "run: python docs/generate.py"


def test_every_key_has_a_meaning_and_the_rules_it_reruns():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    for key, rules, reruns in generate.keys(schema):
        assert rules["description"] and reruns, key


def test_every_table_of_every_format_is_on_the_page_of_formats():
    page = generate.formats_page()
    for kind in generate.FORMATS:
        for name, table in kind.tables().items():
            assert f"`{name}`" in page and table.meaning in page


FORMULA = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]", flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_formula_becomes_mathml(page):
    for inline, block in FORMULA.findall(page.read_text()):
        html = (
            f'<span class="arithmatex">\\({inline}\\)</span>'
            if inline
            else f'<div class="arithmatex">\n\\[{block}\\]\n</div>'
        )
        mathml = generate.on_page_content(html)
        assert "<math" in mathml and "arithmatex" not in mathml
        assert "\\" not in mathml and "&amp;" not in mathml, mathml  # what LaTeX could not be read
