"""`galr search`: answers, their order, and how they are told."""

import io
import json
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch

from galr.errors import ConfigError, DataError, StoreError
from galr.evaluate.rerank import rerank
from galr.model import checkpoint as checkpoints
from galr.model.text import pad_tokens
from galr.search import text_query
from galr.search.index import TEXT_ENCODER, open_index
from galr.search.query import QueryRerank, rerank_scores, search

from .conftest import STAGES, call, draw  # isort: skip

QUERY = "two white squares beside a bar"


@pytest.fixture
def said(capsys):
    """Search and read what was said: `said(index, *words)` gives its lines, messages and documents."""

    def search(index, *words):
        capsys.readouterr()  # what indexing said
        call("search", "--index", index, *words)
        out, err = capsys.readouterr()
        documents = [json.loads(line) for line in out.splitlines()] if "--json" in words else None
        return SimpleNamespace(lines=out.splitlines(), messages=err, documents=documents)

    return search


def raster(path):
    """A GeoTIFF of 120 by 90 pixels, half a metre each."""
    bands = np.random.default_rng(7).integers(0, 255, (3, 90, 120), dtype=np.uint8)
    place = rasterio.Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 4_650_000.0)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=90, width=120, dtype="uint8",
        crs="EPSG:32633", transform=place,
    ) as file:  # fmt: skip
        file.write(bands)


def test_a_sentence_finds_what_the_whole_model_would(house, indexed, folder, said):
    index = indexed(folder)
    checkpoint = checkpoints.load_checkpoint(house.global_run / "checkpoint.pt")
    asker = text_query.read_text_encoder(index / TEXT_ENCODER)
    words, lengths = pad_tokens(asker.vocabulary.encode([QUERY], 20))
    with torch.inference_mode():
        query = checkpoint.build_model().encode_sentences(words, lengths)[0].numpy()
    table = open_index(index).vectors.rows
    expected = np.argsort(-(table @ query), kind="stable")[:7]
    found = said(index, QUERY, "--k", 7, "--json").documents[0]
    assert found["query"] == QUERY and found["unknown_words"] == [] and found["rerank"] == "none"
    assert [answer["place"] for answer in found["answers"]] == list(range(1, 8))
    cosines = [answer["cosine"] for answer in found["answers"]]
    np.testing.assert_allclose(cosines, (table @ query)[expected], atol=1e-5)
    assert [each.row for each in search(open_index(index), query, 7, None)] == expected.tolist()


def test_a_table_tells_tile_and_coordinates(indexed, folder, said):
    raster(folder / "earth.tif")
    index = indexed(folder)
    found = said(index, QUERY, "--k", 1000, "--json").documents[0]["answers"]
    assert len(found) == len(open_index(index).vectors.rows) == 18 + 12
    tile = next(each for each in found if each["name"] == "earth.tif")
    x, y = tile["window"]["x"], tile["window"]["y"]
    left, top = 500_000 + x / 2, 4_650_000 - y / 2
    assert tile["reference_system"] == "EPSG:32633" and tile["size"] == [120, 90]
    assert tile["corners"] == [
        [left, top],
        [left + 20, top],
        [left + 20, top - 20],
        [left, top - 20],
    ]
    lines = said(index, QUERY, "--k", 1000).lines
    assert lines[0].split() == [
        "place",
        "score",
        "name",
        "tile",
        "(x",
        "y",
        "width",
        "height)",
        "centre",
    ]
    told = next(line for line in lines if f" {x} {y} 40 40 " in line and "earth.tif" in line)
    assert told.endswith(f"{left + 10:.10g} {top - 10:.10g} EPSG:32633")
    assert any("a.png (and 1 more)" in line and line.rstrip().endswith("whole") for line in lines)


def test_words_that_were_never_learnt_are_named(indexed, folder, said):
    told = said(indexed(folder), "two Zeppelins, zeppelins beside a bar")
    assert told.messages == "the model never learnt: zeppelins\n"


def test_a_session_reads_lines_and_outlives_nonsense(indexed, folder, said, monkeypatch):
    index = indexed(folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUERY}\n\n  ?!  \none bar\n"))
    told = said(index, "--json", "--k", 2, "--html", index / "page.html")
    nonsense = "the query '?!' has no word; say what the picture shows"
    assert [each["query"] for each in told.documents] == [QUERY, "?!", "one bar"]
    assert told.documents[1] == {"query": "?!", "error": nonsense}
    assert told.messages == f"galr: ConfigError: {nonsense}\n"
    alone = said(index, "one bar", "--k", 2, "--json").documents
    assert alone == told.documents[2:]
    page = (index / "page.html").read_text()
    assert page.count("<h2>") == 2 and page.count("<img ") == 4


def test_the_tables_of_a_session_stand_under_what_was_asked(indexed, folder, said, monkeypatch):
    index = indexed(folder)
    tables = {each: said(index, each, "--k", 2).lines for each in (QUERY, "one bar")}
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUERY}\n?\none bar\n"))
    assert said(index, "--k", 2).lines == [
        line for each, table in tables.items() for line in (each, *table, "")
    ]


def test_a_stray_byte_is_a_strange_word(indexed, folder, said, monkeypatch):
    line = f"caf\xe9 {QUERY}\n".encode("latin-1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line), encoding="utf-8"))
    told = said(indexed(folder), "--json", "--html", folder / "page.html")
    assert told.documents[0]["unknown_words"] == ["caf\ufffd"]
    assert "caf\ufffd two white" in (folder / "page.html").read_text(encoding="utf-8")


def test_a_session_sees_what_is_indexed_meanwhile(indexed, folder, said, monkeypatch):
    index = indexed(folder)

    def lines():
        yield QUERY
        draw(folder / "new.png", 600)
        indexed(folder)
        yield QUERY

    monkeypatch.setattr(STAGES["search"], "lines", lines)
    before, after = said(index, "--k", 99, "--json").documents
    names = [{each["name"] for each in document["answers"]} for document in (before, after)]
    assert (
        names[1] - names[0] == {"new.png"}
        and after == said(index, QUERY, "--k", 99, "--json").documents[0]
    )


def test_a_picture_finds_itself(house, indexed, said):
    for run in (house.global_run, house.both_run):
        index = indexed(house.pictures, run=run, output=house.place / f"index-{run.parent.name}")
        image = house.pictures / "03.png"
        found = said(
            index, "--image", image, "--json", "--device", "cpu", "--detector", house.detector
        )
        first = found.documents[0]["answers"][0]
        assert first["name"] == "03.png" and first["cosine"] == pytest.approx(1, abs=1e-5)


def test_the_page_of_a_picture_shows_it(indexed, folder, said, tmp_path):
    index = indexed(folder)
    said(index, "--image", folder / "a.png", "--k", 1, "--html", tmp_path / "page.html")
    asked, found = re.findall(r'<img .*?src="(data:[^"]+)"', (tmp_path / "page.html").read_text())
    assert asked == found  # it found itself


def test_an_index_refuses_a_picture_by_another_checkpoint(house, indexed, folder, tmp_path):
    index = indexed(folder)
    words = ("search", "--index", index, "--image", folder / "a.png")
    with pytest.raises(ConfigError, match=r"was made by checkpoint \w+ \(small, global, fold 0\)"):
        call(*words, "--run", house.other_run)
    (folder / "broken.png").write_text("no picture")
    with pytest.raises(DataError, match=r"broken.png cannot be decoded"):
        call(*words[:3], "--image", folder / "broken.png")
    with pytest.raises(
        ConfigError, match=r"no run at .*nowhere; a picture needs the one that made .*index: --run"
    ):
        call(*words, "--run", tmp_path / "nowhere")


def test_an_index_moves_with_its_pictures(indexed, folder, said, tmp_path):
    before = said(indexed(folder), QUERY, "--json").documents
    (tmp_path / "elsewhere").mkdir()
    for name in ("index", "mine"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    index = tmp_path / "elsewhere/index"
    after = said(index, QUERY, "--json", "--html", tmp_path / "page.html").documents
    for document in (*before, *after):
        for answer in document["answers"]:
            answer.pop("source")
    assert before == after and "not where it was" not in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("variant", ["code", "paper", "reciprocal"])
def test_the_second_stage_is_mr_with_the_bank_as_the_other_queries(variant):
    random = np.random.default_rng(3)
    bank, tiles, query = (
        (each / np.linalg.norm(each, axis=-1, keepdims=True)).astype(np.float32)
        for each in (random.standard_normal((size, 6)) for size in (40, 15, 1))
    )
    cosines = (query @ tiles.T)[0]
    order = np.argsort(-cosines, kind="stable")
    how = QueryRerank(variant, 10, 0.3, 1.1, 0.05)
    scores = rerank_scores(bank, query[0], tiles[order], cosines[order], how)
    whole = np.concatenate([query, bank]).astype(np.float64) @ tiles.T.astype(np.float64)
    expected = rerank(whole, variant, 10, 0.3, 1.1, 0.05)[0]
    np.testing.assert_allclose(scores[:10], expected[order[:10]], atol=1e-5)
    assert (scores[10:] == -np.inf).all()
    again = order[np.argsort(-scores, kind="stable")]
    assert again.tolist() == np.argsort(-expected, kind="stable").tolist()


@pytest.mark.parametrize("variant", ["mr-code", "mr-paper", "reciprocal"])
def test_a_second_stage_moves_only_the_best(indexed, folder, said, variant):
    index = indexed(folder)
    plain = said(index, QUERY, "--k", 18, "--json").documents[0]["answers"]
    told = said(index, QUERY, "--k", 18, "--json", "--rerank", variant, "--pool", 11)
    other = told.documents[0]["answers"]
    assert told.documents[0]["rerank"] == variant

    def tiles(answers):
        return [(each["name"], *each["window"].values()) for each in answers]

    assert sorted(tiles(plain[:11])) == sorted(tiles(other[:11])) and tiles(plain[11:]) == tiles(
        other[11:]
    )
    scores = [each["reranked"] for each in other]
    assert scores[:11] == sorted(scores[:11], reverse=True) and set(scores[11:]) == {None}
    few = said(index, QUERY, "--k", 3, "--json", "--rerank", variant, "--pool", 11).documents[0]
    assert few["answers"] == other[:3]


def test_the_page_needs_nothing_else(indexed, folder, said, tmp_path):
    draw(folder / "<b>&.png", 500)
    index = indexed(folder)
    (folder / "deep/b.png").unlink()
    query = "two <script> & bars"
    said(index, query, "--k", 30, "--html", tmp_path / "new/page.html")
    page = (tmp_path / "new/page.html").read_text()
    addresses = re.findall(r"""(?:src|href|url\()\s*=?\s*["']?([^"'\s>)]+)""", page)
    assert addresses and all(
        each.startswith(("data:image/jpeg;base64,", "#")) for each in addresses
    )
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", page) and "<script" not in page
    assert "two &lt;script&gt; &amp; bars" in page and "&lt;b&gt;&amp;.png" in page
    assert page.count("<img ") == 18 and page.count("not where it was") == 1
    assert page.count('class="where"') == 15 and "the same picture: deep/twin.png" in page


def test_a_dataset_has_a_page_too(indexed, said, tmp_path):
    said(indexed(), QUERY, "--k", 4, "--html", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("<img ") == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--k", 0, QUERY], "--k counts the answers"),
        ([QUERY, "--image", "x.png"], "not both"),
        (["--image", "x.png", "--rerank", "mr-code"], "say nothing of a picture"),
        ([QUERY, "--rerank", "mr-code", "--pool", 0], "k counts the candidates to rerank"),
        ([QUERY, "--threads", 0], "--threads"),
        (["?"], "has no word"),
        (["zwei Zeppeline"], "the model knows no word of 'zwei Zeppeline'"),
    ],
)
def test_what_cannot_be_asked_is_refused(indexed, folder, words, says):
    with pytest.raises(ConfigError, match=says):
        call("search", "--index", indexed(folder), *words)


def test_no_index_and_damaged_ones_are_refused(indexed, folder, tmp_path):
    with pytest.raises(StoreError, match="nowhere holds no index; make one with galr index"):
        call("search", "--index", tmp_path / "nowhere", QUERY)
    index = indexed(folder)
    (index / TEXT_ENCODER).write_bytes(b"nothing")
    with pytest.raises(StoreError, match=r"sentences.pt has changed since"):
        call("search", "--index", index, QUERY)
    with pytest.raises(StoreError, match=r"sentences.pt is missing or damaged"):
        text_query.read_text_encoder(index / TEXT_ENCODER)


def test_what_is_slow_to_load_is_loaded_by_those_who_need_it():
    # a sentence must be answered within seconds, and only a local branch looks for regions
    code = """
import sys, unittest.mock
import galr.commands.search
print(*sys.modules)
for name in ("torch_geometric", "torch_geometric.nn"):  # as slow as all the rest, and no matter here
    sys.modules[name] = unittest.mock.MagicMock()
import galr.commands.index, galr.search.tile_encoder
print(*sys.modules)
"""
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    search, index = (set(line.split()) for line in loaded.stdout.splitlines())
    detector = {"mmdet", "mmcv", "mmengine"}
    slow = {"torchvision", "torch_geometric", "snakemake", "rasterio", "PIL", "jinja2"} | detector
    slow |= {"matplotlib", "nltk", "pandas", "scipy", "sklearn", "tensorboard", "lightning"}
    assert not slow & search and not detector & index
