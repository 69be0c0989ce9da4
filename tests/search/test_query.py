"""`galr search`: hits, their order, and the forms of a result."""

import io
import re
import shutil
import sys

import numpy as np
import pytest
import torch

from galr.commands import search as search_command
from galr.errors import ConfigError, DataError, StoreError
from galr.evaluate.rerank import rerank
from galr.model.checkpoint import load_checkpoint
from galr.model.text import pad_tokens
from galr.search.index import TEXT_ENCODER, open_index
from galr.search.query import QueryRerank, rerank_scores, search
from galr.search.text_query import read_text_encoder

from .conftest import DETECTION, QUERY, galr, loaded_modules, write_geotiff, write_image  # isort: skip


def test_a_sentence_finds_the_tiles_that_the_whole_model_ranks_first(
    runs, make_index, folder, run_search
):
    index = make_index(folder)
    checkpoint = load_checkpoint(runs.global_run / "checkpoint.pt")
    encoder = read_text_encoder(index / TEXT_ENCODER)
    token_ids, lengths = pad_tokens(encoder.vocabulary.encode([QUERY], 20))
    with torch.inference_mode():
        query = checkpoint.build_model().encode_sentences(token_ids, lengths)[0].numpy()
    embeddings = open_index(index).vectors.embeddings
    expected = np.argsort(-(embeddings @ query), kind="stable")[:7]
    result = run_search(index, QUERY, "--k", 7, "--json", "--no-merge").documents[0]
    assert result["query"] == QUERY and result["unknown_words"] == [] and result["rerank"] == "none"
    assert [answer["place"] for answer in result["answers"]] == list(range(1, 8))
    cosines = [answer["cosine"] for answer in result["answers"]]
    np.testing.assert_allclose(cosines, (embeddings @ query)[expected], atol=1e-5)
    assert [hit.row for hit in search(open_index(index), query, 7, None)] == expected.tolist()


def test_a_result_has_the_tile_and_its_coordinates(make_index, folder, run_search):
    write_geotiff(folder / "earth.tif")
    index = make_index(folder)
    every = (QUERY, "--k", 1000, "--no-merge")
    answers = run_search(index, *every, "--json").documents[0]["answers"]
    assert len(answers) == len(open_index(index).vectors.embeddings) == 18 + 12
    tile = next(answer for answer in answers if answer["name"] == "earth.tif")
    x, y = tile["window"]["x"], tile["window"]["y"]
    left, top = 500_000 + x / 2, 4_650_000 - y / 2
    assert tile["reference_system"] == "EPSG:32633" and tile["size"] == [120, 90]
    assert tile["corners"] == [
        [left, top],
        [left + 20, top],
        [left + 20, top - 20],
        [left, top - 20],
    ]
    lines = run_search(index, *every).lines
    assert lines[0].split() == [
        "rank",
        "score",
        "name",
        "tile",
        "(x",
        "y",
        "width",
        "height)",
        "centre",
    ]
    line = next(line for line in lines if f" {x} {y} 40 40 " in line and "earth.tif" in line)
    assert line.endswith(f"{left + 10:.10g} {top - 10:.10g} EPSG:32633")
    assert any("a.png (and 1 more)" in line and line.rstrip().endswith("whole") for line in lines)


def test_words_outside_the_vocabulary_are_named(make_index, folder, run_search):
    index = make_index(folder)
    result = run_search(index, "two Zeppelins, zeppelins beside a bar", "--no-merge")
    assert result.messages == "not in the model's vocabulary: zeppelins\n"
    many = " ".join(f"w{number}" for number in range(2000))
    unknown, cut = run_search(
        index, f"two {many} {'x' * 10_000} bars", "--no-merge"
    ).messages.splitlines()
    assert len(unknown) < 200 and unknown.endswith("w9 and 1992 more")
    assert len(cut) < 200 and cut.startswith("only the beginning of 'two w0 w1 ")


def test_a_session_answers_every_line_and_continues_after_an_error(
    make_index, folder, run_search, monkeypatch
):
    index = make_index(folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUERY}\n\n  ?!  \none bar\n"))
    session = run_search(index, "--json", "--k", 2, "--html", index / "page.html")
    message = "the query '?!' has no word; describe what the image shows"
    assert [document["query"] for document in session.documents] == [QUERY, "?!", "one bar"]
    assert session.documents[1] == {"query": "?!", "error": message}
    assert session.messages == f"galr: ConfigError: {message}\n"
    alone = run_search(index, "one bar", "--k", 2, "--json").documents
    assert alone == session.documents[2:]
    page = (index / "page.html").read_text()
    assert page.count("<h2>") == 2 and page.count("<img ") == 4


def test_a_session_prints_each_table_under_its_query(make_index, folder, run_search, monkeypatch):
    index = make_index(folder)
    tables = {query: run_search(index, query, "--k", 2).lines for query in (QUERY, "one bar")}
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUERY}\n?\none bar\n"))
    assert run_search(index, "--k", 2).lines == [
        line for query, table in tables.items() for line in (query, *table, "")
    ]


def test_a_byte_that_is_no_utf8_is_read_as_an_unknown_word(
    make_index, folder, run_search, monkeypatch
):
    line = f"caf\xe9 {QUERY}\n".encode("latin-1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line), encoding="utf-8"))
    session = run_search(make_index(folder), "--json", "--html", folder / "page.html")
    assert session.documents[0]["unknown_words"] == ["caf"]
    assert "caf\ufffd two white" in (folder / "page.html").read_text(encoding="utf-8")


def test_a_session_follows_updates_of_its_index(make_index, folder, run_search, monkeypatch):
    index = make_index(folder)

    def read_lines(commands):
        yield QUERY
        write_image(folder / "new.png", 600)
        make_index(folder)
        yield QUERY

    monkeypatch.setattr(search_command, "read_lines", read_lines)
    before, after = run_search(index, "--k", 99, "--json", "--no-merge").documents
    names = [{answer["name"] for answer in document["answers"]} for document in (before, after)]
    assert names[1] - names[0] == {"new.png"}
    assert after == run_search(index, QUERY, "--k", 99, "--json", "--no-merge").documents[0]


@pytest.mark.parametrize("variant", ["global_run", "both_run"])
def test_an_indexed_image_finds_itself(runs, make_index, run_search, variant):
    index = make_index(runs.images, run=getattr(runs, variant))
    image = runs.images / "03.png"
    result = run_search(
        index, "--image", image, "--json", "--device", "cpu", "--detector", runs.detector
    )
    first = result.documents[0]["answers"][0]
    assert first["name"] == "03.png" and first["cosine"] == pytest.approx(1, abs=1e-5)


def test_the_page_of_an_image_query_shows_the_image(make_index, folder, run_search, tmp_path):
    index = make_index(folder)
    run_search(index, "--image", folder / "a.png", "--k", 1, "--html", tmp_path / "page.html")
    query, hit = re.findall(r'<img .*?src="(data:[^"]+)"', (tmp_path / "page.html").read_text())
    assert query == hit  # the first hit is the image itself


def test_an_image_query_needs_the_run_of_the_index(runs, make_index, folder, tmp_path):
    index = make_index(folder)
    words = ("search", "--index", index, "--image", folder / "a.png")
    with pytest.raises(ConfigError, match=r"was made by checkpoint \w+ \(small, global, fold 0\)"):
        galr(*words, "--run", runs.other_run)
    (folder / "broken.png").write_text("no image")
    with pytest.raises(DataError, match=r"broken.png cannot be decoded"):
        galr(*words[:3], "--image", folder / "broken.png")
    with pytest.raises(
        ConfigError, match=r"no run at .*nowhere; .* give the run that made .*index with --run"
    ):
        galr(*words, "--run", tmp_path / "nowhere")


def test_an_index_can_be_moved_with_its_images(make_index, folder, run_search, tmp_path):
    before = run_search(make_index(folder), QUERY, "--json").documents
    (tmp_path / "elsewhere").mkdir()
    for name in ("index", "mine"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    index = tmp_path / "elsewhere/index"
    after = run_search(index, QUERY, "--json", "--html", tmp_path / "page.html").documents
    for document in (*before, *after):
        for answer in document["answers"]:
            answer.pop("source")
    page = (tmp_path / "page.html").read_text()
    assert before == after and "<img " in page and "is missing or has changed" not in page


@pytest.mark.parametrize("variant", ["code", "paper", "reciprocal"])
def test_rerank_scores_are_those_of_the_query_and_the_bank_as_queries(variant):
    random = np.random.default_rng(3)
    bank, tiles, query = (
        (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
        for vectors in (random.standard_normal((count, 6)) for count in (40, 15, 1))
    )
    cosines = (query @ tiles.T)[0]
    order = np.argsort(-cosines, kind="stable")
    parameters = QueryRerank(variant, 10, 0.3, 1.1, 0.05)
    scores = rerank_scores(bank, query[0], tiles[order], cosines[order], parameters)
    similarity = np.concatenate([query, bank]).astype(np.float64) @ tiles.T.astype(np.float64)
    expected = rerank(similarity, variant, 10, 0.3, 1.1, 0.05)[0]
    np.testing.assert_allclose(scores[:10], expected[order[:10]], atol=1e-5)
    assert (scores[10:] == -np.inf).all()
    reranked = order[np.argsort(-scores, kind="stable")]
    assert reranked.tolist() == np.argsort(-expected, kind="stable").tolist()


@pytest.mark.parametrize("variant", ["mr-code", "mr-paper", "reciprocal"])
def test_a_rerank_moves_the_best_tiles_alone(make_index, folder, run_search, variant):
    index = make_index(folder)
    flags = ("--json", "--rerank", variant, "--rerank-k", 11, "--no-merge")
    plain = run_search(index, QUERY, "--k", 18, "--json", "--no-merge").documents[0]["answers"]
    document = run_search(index, QUERY, "--k", 18, *flags).documents[0]
    reranked = document["answers"]
    assert document["rerank"] == variant

    def tiles(answers):
        return [(answer["name"], *answer["window"].values()) for answer in answers]

    assert sorted(tiles(plain[:11])) == sorted(tiles(reranked[:11]))
    assert tiles(plain[11:]) == tiles(reranked[11:])
    scores = [answer["reranked"] for answer in reranked]
    assert scores[:11] == sorted(scores[:11], reverse=True) and set(scores[11:]) == {None}
    few = run_search(index, QUERY, "--k", 3, *flags).documents[0]
    assert few["answers"] == reranked[:3]


def test_the_page_needs_no_other_file_and_escapes_what_it_shows(
    make_index, folder, run_search, tmp_path
):
    write_image(folder / "<b>&.png", 500)
    index = make_index(folder)
    (folder / "deep/b.png").unlink()
    query = "two <script> & bars"
    run_search(index, query, "--k", 30, "--html", tmp_path / "new/page.html", "--no-merge")
    page = (tmp_path / "new/page.html").read_text()
    addresses = re.findall(r"""(?:src|href|url\()\s*=?\s*["']?([^"'\s>)]+)""", page)
    assert addresses and all(
        address.startswith(("data:image/jpeg;base64,", "#")) for address in addresses
    )
    assert "http" not in re.sub(r"base64,[\w+/=]+", "", page) and "<script" not in page
    assert "two &lt;script&gt; &amp; bars" in page and "&lt;b&gt;&amp;.png" in page
    assert page.count("<img ") == 18 and page.count("is missing or has changed") == 1
    assert page.count('class="window"') == 15 and "the same image: deep/twin.png" in page


def test_the_page_of_a_dataset_shows_its_stored_images(make_index, run_search, tmp_path):
    run_search(make_index(), QUERY, "--k", 4, "--html", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("<img ") == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--k", 0, QUERY], "--k must be at least 1, got 0"),
        (["--min-score", "nan", QUERY], r"--min-score is a cosine in \[-1, 1\], got nan"),
        (["--json", "--paths", QUERY], "give --json or --paths, not both"),
        (["two bars", "-zeppelins"], "the model knows no word of 'zeppelins'"),
        (["two bars", "-two bars"], "the sentences of 'two bars -two bars' cancel each other"),
        (["--rerank", "mr-code", "--rerank-k", 0], "k is the number of candidates to rerank"),
        ([QUERY, "--image", "x.png"], "not both"),
        (["--image", "x.png", "--rerank", "mr-code"], "which an image cannot be"),
        (
            [QUERY, "--rerank", "mr-code", "--rerank-k", 0],
            "k is the number of candidates to rerank",
        ),
        ([QUERY, "--threads", 0], "--threads must be at least 1, got 0"),
        (["?"], "has no word"),
        (["zwei Zeppeline"], "the model knows no word of 'zwei Zeppeline'"),
    ],
)
def test_a_query_that_cannot_be_answered_is_an_error(make_index, folder, words, message):
    with pytest.raises(ConfigError, match=message):
        galr("search", "--index", make_index(folder), *words)


def test_a_missing_or_damaged_index_is_an_error(make_index, folder, tmp_path):
    with pytest.raises(StoreError, match="nowhere holds no index; make one with galr index"):
        galr("search", "--index", tmp_path / "nowhere", QUERY)
    index = make_index(folder)
    (index / TEXT_ENCODER).write_bytes(b"nothing")
    with pytest.raises(StoreError, match=r"sentences.pt has changed since"):
        galr("search", "--index", index, QUERY)
    with pytest.raises(StoreError, match=r"sentences.pt is missing or damaged"):
        read_text_encoder(index / TEXT_ENCODER)


WHOLE_MODEL = {"torchvision", "torch_geometric", "lightning", "lightning_fabric"}


def test_answering_a_sentence_loads_no_image_model_and_no_detector(make_index, folder):
    words = ["search", "--index", str(make_index(folder)), QUERY]
    loaded = loaded_modules(f"from galr.__main__ import run; run({words})")
    assert "faiss" in loaded and not loaded & (DETECTION | WHOLE_MODEL)
    unused = {"rasterio", "PIL", "jinja2", "matplotlib", "nltk", "pandas", "scipy", "sklearn"}
    assert not loaded & (unused | {"snakemake", "tensorboard"})


@pytest.mark.parametrize("command", ["index", "search"])
def test_help_loads_no_heavy_library(command):
    code = f"""
from galr.__main__ import run
try:
    run(["{command}", "--help"])
except SystemExit:
    pass"""
    loaded = loaded_modules(code)
    assert f"galr.commands.{command}" in loaded
    assert not loaded & {"torch", "faiss", "h5py", "PIL", "rasterio", "pandas"}


def test_indexing_loads_a_detector_only_for_a_local_branch(runs, folder, tmp_path):
    words = ["index", "--run", str(runs.global_run), "--output", str(tmp_path / "new")]
    words += ["--folder", str(folder), "--device", "cpu"]
    loaded = loaded_modules(f"from galr.__main__ import run; run({words})")
    assert "faiss" in loaded and not loaded & DETECTION
