"""`galr rerank`, `galr evaluate` and `galr aggregate`, from file to file, as a user calls them."""

import csv
import json

import h5py
import numpy as np
import pytest

from galr.__main__ import main
from galr.evaluate.metrics import random_metrics, retrieval_metrics, t2i_upper_bound
from galr.evaluate.qbnorm import bank_stats, qbnorm_scores
from galr.evaluate.ranks import RetrievalRanks, compute_ranks
from galr.evaluate.rerank import rerank_direction
from galr.io.formats import Ranks, Similarity

NUMBERS = [
    "i2t_r1",
    "i2t_r5",
    "i2t_r10",
    "t2i_r1",
    "t2i_r5",
    "t2i_r10",
    "mr",
    "mr_expected",
    "mr_low",
    "mr_high",
    "i2t_medr",
    "t2i_medr",
    "i2t_meanr",
    "t2i_meanr",
    "images",
    "sentences",
    "seed",
]
IMAGE_OF_SENTENCE = np.repeat(np.arange(12), [1, 7, 2, 2, 2, 2, 2, 2, 2, 3, 3, 2])
SENTENCES = [f"{n % 9} planes." for n in range(len(IMAGE_OF_SENTENCE))]


def similarity_of(seed):
    random = np.random.default_rng(seed)
    own = IMAGE_OF_SENTENCE == np.arange(12)[:, None]
    return (random.normal(size=own.shape) + own).astype(np.float32)


def embeddings_of(seed, rows):
    return np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)


def write_similarity(
    path, fold, variant="corrected", image_of_sentence=IMAGE_OF_SENTENCE, bank=True
):
    provenance = {
        "dataset": "demo",
        "variant": variant,
        "fold": fold,
        "seed": 42,
        "validation_mr": 1.0,
    }
    with Similarity.create(path, provenance) as file:
        for group, seed in ((file, fold), (Similarity.validation.create(file), 100 + fold)):
            group.write(
                similarity=similarity_of(seed),
                image_embeddings=embeddings_of(seed, 12),
                sentence_embeddings=embeddings_of(seed, len(image_of_sentence)),
                image_of_sentence=image_of_sentence,
                names=[f"{n}.png" for n in range(12)],
                sentences=SENTENCES,
            )
        if bank:
            Similarity.bank.create(file).write(
                image_embeddings=embeddings_of(7, 9),
                sentence_embeddings=embeddings_of(8, 40),
            )
    return path


def table(path):
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def refused(capsys, *argv):
    """Run a command that fails, and return the one line that it prints."""
    assert main([str(word) for word in argv]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


@pytest.fixture
def saved(tmp_path):
    np.save(tmp_path / "S.npy", similarity_of(0))
    np.save(tmp_path / "I.npy", IMAGE_OF_SENTENCE)
    return tmp_path


@pytest.mark.parametrize("direction", ["i2t", "t2i"])
@pytest.mark.parametrize("variant", ["code", "paper"])
def test_rerank_writes_what_the_function_returns(saved, direction, variant):
    h5 = write_similarity(saved / "similarity.h5", 0)
    expected = rerank_direction(similarity_of(0), direction, variant, 30, 0.3, 1.1, 0.05)
    for source in (saved / "S.npy", h5):
        output = saved / "below" / "R.npy"
        flags = ["--direction", direction, "--variant", variant, "--output", str(output)]
        assert main(["rerank", "--similarity", str(source), *flags]) == 0
        np.testing.assert_array_equal(np.load(output), expected)


def test_rerank_writes_under_exactly_the_given_name(saved):
    output = saved / "R.scores"
    flags = [
        "--direction",
        "i2t",
        "--variant",
        "paper",
        "--k",
        "2",
        "--w1",
        "0",
        "--w2",
        "2",
        "--xi",
        "0.1",
    ]
    assert (
        main(["rerank", "--similarity", str(saved / "S.npy"), *flags, "--output", str(output)]) == 0
    )
    expected = rerank_direction(similarity_of(0), "i2t", "paper", 2, 0, 2, 0.1)
    np.testing.assert_array_equal(np.load(output), expected)


@pytest.mark.parametrize("ties", ["pessimistic", "expected", "optimistic"])
def test_evaluate_writes_one_row_for_a_bare_matrix(saved, ties):
    output = saved / "M.csv"
    flags = ["--image-of-sentence", str(saved / "I.npy"), "--ties", ties, "--output", str(output)]
    assert main(["evaluate", "--similarity", str(saved / "S.npy"), *flags]) == 0
    header, (row,) = table(output)
    assert header == NUMBERS
    expected = retrieval_metrics(compute_ranks(similarity_of(0), IMAGE_OF_SENTENCE, ties))
    assert {name: float(row[name]) for name in expected} == pytest.approx(expected, abs=1e-4)
    assert float(row["mr_low"]) < expected["mr"] < float(row["mr_high"])
    at_random = retrieval_metrics(compute_ranks(similarity_of(0), IMAGE_OF_SENTENCE, "expected"))
    assert float(row["mr_expected"]) == pytest.approx(at_random["mr"], abs=1e-4)
    assert (row["images"], row["sentences"], row["seed"]) == ("12", "30", "0")


def test_both_tie_rules_stand_beside_each_other_whatever_rule_the_table_has(saved, capsys):
    """Every sentence of an image, and of its neighbour, is the same: the rules are far apart."""
    np.save(saved / "tied.npy", similarity_of(0)[:, IMAGE_OF_SENTENCE // 2 * 2])
    tables, rows = {}, {}
    for ties in ("pessimistic", "expected", "optimistic"):
        output = saved / f"{ties}.csv"
        flags = ["--image-of-sentence", str(saved / "I.npy"), "--rerank", "none", "reciprocal"]
        flags += ["--k", "5", "--ties", ties, "--output", str(output)]
        assert main(["evaluate", "--similarity", str(saved / "tied.npy"), *flags]) == 0
        tables[ties], rows[ties] = capsys.readouterr().out, table(output)[1]
    for pessimistic, expected, optimistic in zip(*rows.values(), strict=True):
        assert float(pessimistic["mr"]) < float(expected["mr"]) < float(optimistic["mr"])
        assert expected["mr"] == expected["mr_expected"]
        assert pessimistic["mr_expected"] == expected["mr"] == optimistic["mr_expected"]
    (line,) = (line for line in tables["pessimistic"].splitlines() if line.startswith("none"))
    row = rows["pessimistic"][0]
    assert line.split()[7:9] == [f"{float(row[name]):.2f}" for name in ("mr", "mr_expected")]
    assert "The column 'expected' is mR with ties broken at random" in tables["pessimistic"]


def test_evaluate_without_relevance_takes_equal_blocks(saved):
    np.save(saved / "blocks.npy", np.repeat(np.arange(10), 3))
    np.save(saved / "ten.npy", similarity_of(0)[:10])
    argv = ["evaluate", "--similarity", str(saved / "ten.npy"), "--output"]
    assert main([*argv, str(saved / "a.csv")]) == 0
    relevance = ["--image-of-sentence", str(saved / "blocks.npy")]
    assert main([*argv, str(saved / "b.csv"), *relevance]) == 0
    assert (saved / "a.csv").read_text() == (saved / "b.csv").read_text()


def test_evaluate_of_our_file_is_evaluate_of_its_matrix(saved):
    h5 = write_similarity(saved / "similarity.h5", 0)
    assert main(["evaluate", "--similarity", str(h5), "--output", str(saved / "a.csv")]) == 0
    flags = ["--image-of-sentence", str(saved / "I.npy"), "--output", str(saved / "b.csv")]
    assert main(["evaluate", "--similarity", str(saved / "S.npy"), *flags]) == 0
    assert (saved / "a.csv").read_text() == (saved / "b.csv").read_text()


def evaluate(folder, fold, *flags, reranks=("none", "mr-code", "mr-paper"), **similarity):
    """Evaluate one fold as the workflow does; the path of its ranks.h5."""
    h5 = write_similarity(folder / f"similarity{fold}.h5", fold, **similarity)
    output = folder / f"ranks{fold}.h5"
    argv = ["--similarity", h5, "--rerank", *reranks, "--k", 5, 12, "--w1", 0, 0.3, "--w2", 0.7]
    argv += [
        "--xi",
        0.05,
        "--resamples",
        200,
        "--seed",
        3,
        "--output",
        folder / f"metrics{fold}.csv",
    ]
    assert main([str(word) for word in ["evaluate", *argv, "--ranks", output, *flags]]) == 0
    return output


def test_evaluate_writes_a_row_for_each_rerank_and_the_chosen_parameters(tmp_path):
    with Ranks.open(evaluate(tmp_path, 0)) as file:
        provenance = file.provenance
        plain = file.reranks["none"].t2i[:]
        relevance = file.image_of_sentence[:]
    header, rows = table(tmp_path / "metrics0.csv")
    assert header == ["rerank", *NUMBERS]
    assert (
        [row["rerank"] for row in rows] == provenance["reranks"] == ["none", "mr-code", "mr-paper"]
    )
    assert plain.tolist() == compute_ranks(similarity_of(0), IMAGE_OF_SENTENCE).t2i.tolist()
    assert relevance.tolist() == IMAGE_OF_SENTENCE.tolist()
    assert (provenance["dataset"], provenance["fold"], provenance["ties"]) == (
        "demo",
        0,
        "pessimistic",
    )
    assert provenance["chosen"]["none"] == {}
    plain_mr = retrieval_metrics(compute_ranks(similarity_of(100), IMAGE_OF_SENTENCE))["mr"]
    assert provenance["validation_mr_by_rerank"]["none"] == pytest.approx(plain_mr)
    chosen = provenance["chosen"]["mr-paper"]
    assert chosen["k"] in (5, 12) and chosen["w1"] in (0, 0.3) and chosen["w2"] == 0.7
    images, sentences = (
        compute_ranks(
            rerank_direction(
                similarity_of(100),
                direction,
                "paper",
                *(chosen[n] for n in ("k", "w1", "w2", "xi")),
            ),
            IMAGE_OF_SENTENCE,
        )
        for direction in ("i2t", "t2i")
    )
    assert chosen["validation_mr"] == pytest.approx(
        retrieval_metrics(RetrievalRanks.from_ranks(images.i2t, sentences.t2i))["mr"]
    )
    assert provenance["ceiling"] == pytest.approx(t2i_upper_bound(SENTENCES, IMAGE_OF_SENTENCE))


def test_every_rerank_is_a_row_and_qbnorm_uses_the_bank_of_the_file(tmp_path):
    reranks = ["reciprocal", "none", "qbnorm"]
    with Ranks.open(evaluate(tmp_path, 0, "--beta", 2, 9, "--threads", 2, reranks=reranks)) as file:
        provenance, t2i = file.provenance, {name: file.reranks[name].t2i[:] for name in reranks}
    _, rows = table(tmp_path / "metrics0.csv")
    assert [row["rerank"] for row in rows] == provenance["reranks"] == reranks
    assert provenance["chosen"]["reciprocal"]["k"] in (5, 12)
    beta = provenance["chosen"]["qbnorm"]["beta"]
    assert beta in (2, 9) and provenance["chosen"]["qbnorm"]["validation_mr"] > 0
    bank = embeddings_of(8, 40) @ embeddings_of(0, 12).T  # training sentences to test images
    scores = qbnorm_scores(similarity_of(0).T, bank_stats([bank], beta), beta).T
    assert t2i["qbnorm"].tolist() == compute_ranks(scores, IMAGE_OF_SENTENCE).t2i.tolist()
    assert t2i["qbnorm"].tolist() != t2i["none"].tolist()


def test_qbnorm_without_a_bank_says_what_is_missing(saved, capsys):
    flags = ["--rerank", "none", "qbnorm", "--output", saved / "M.csv"]
    relevance = ["--image-of-sentence", saved / "I.npy"]
    line = refused(capsys, "evaluate", "--similarity", saved / "S.npy", *relevance, *flags)
    assert "S.npy is a bare matrix, and qbnorm needs the embeddings of training images" in line
    h5 = write_similarity(saved / "similarity.h5", 0, bank=False)
    line = refused(capsys, "evaluate", "--similarity", h5, *flags)
    assert "was made with --no-bank" in line and "leave qbnorm out of --rerank" in line
    assert not (saved / "M.csv").exists()


@pytest.mark.parametrize("ties", ["pessimistic", "expected"])
def test_aggregate_writes_folds_their_mean_and_their_standard_deviation(tmp_path, ties):
    paths = [evaluate(tmp_path, fold, "--ties", ties) for fold in (0, 1, 2)]
    output = tmp_path / "metrics.csv"
    argv = ["--ranks", *map(str, paths), "--resamples", "200", "--output", str(output)]
    assert main(["aggregate", *argv]) == 0
    header, rows = table(output)
    assert header[:21] == ["dataset", "variant", "fold", "rerank", *NUMBERS]
    reranks = ["none", "mr-code", "mr-paper"]
    assert [(row["fold"], row["rerank"]) for row in rows] == [
        (fold, rerank) for fold in ("0", "1", "2", "mean", "std") for rerank in reranks
    ]
    for fold in range(3):  # the same numbers as in the fold's own table
        own = table(tmp_path / f"metrics{fold}.csv")[1]
        for mine, theirs in zip(rows[3 * fold :], own, strict=False):
            assert {n: mine[n] for n in NUMBERS[:-1]} == {n: theirs[n] for n in NUMBERS[:-1]}
    for column in ("mr", "mr_expected", "t2i_r5", "i2t_meanr"):
        of_folds = [float(row[column]) for row in rows[:9:3]]
        assert float(rows[9][column]) == pytest.approx(np.mean(of_folds), abs=1e-4)
        assert float(rows[12][column]) == pytest.approx(np.std(of_folds, ddof=1), abs=2e-4)
    assert float(rows[9]["mr_low"]) < float(rows[9]["mr"]) < float(rows[9]["mr_high"])
    assert (rows[12]["mr_low"], rows[12]["mr_high"], rows[12]["images"]) == ("", "", "12")
    assert {row["seed"] for row in rows} == {"42"} and {row["ties"] for row in rows} == {ties}
    assert {row["chance_mr"] for row in rows} == {
        f"{random_metrics(IMAGE_OF_SENTENCE, 12)['mr']:.4f}"
    }
    assert rows[0]["k"] == "" and rows[1]["k"] in ("5", "12") and rows[10]["k"] == ""
    for fold in range(3):
        own = compute_ranks(similarity_of(100 + fold), IMAGE_OF_SENTENCE, ties)
        plain_mr = retrieval_metrics(own)["mr"]
        assert float(rows[3 * fold]["validation_mr"]) == pytest.approx(plain_mr, abs=1e-4)
    assert all(float(row["validation_mr"]) > 0 for row in rows[:9])


def test_ranks_of_before_have_no_validation_mr_without_a_rerank(tmp_path):
    path = evaluate(tmp_path, 0)
    with h5py.File(path, "r+") as file:
        provenance = json.loads(file.attrs["provenance"])
        del provenance["validation_mr_by_rerank"]
        file.attrs["provenance"] = json.dumps(provenance)
    output = tmp_path / "metrics.csv"
    assert main(["aggregate", "--ranks", str(path), "--output", str(output)]) == 0
    _, rows = table(output)
    assert rows[0]["validation_mr"] == "" and float(rows[1]["validation_mr"]) > 0


def test_aggregate_of_one_fold_has_no_standard_deviation_and_keeps_the_order_of_variants(tmp_path):
    paths = [
        evaluate(tmp_path / variant, 0, reranks=["none"], variant=variant) for variant in ("z", "a")
    ]
    output = tmp_path / "metrics.csv"
    assert main(["aggregate", "--ranks", *map(str, paths), "--output", str(output)]) == 0
    _, rows = table(output)
    assert [(row["variant"], row["fold"]) for row in rows] == [
        (variant, fold) for variant in ("z", "a") for fold in ("0", "mean", "std")
    ]
    assert rows[2]["mr"] == "" and rows[1]["mr"] == rows[0]["mr"]


def test_aggregate_writes_paired_differences_of_the_variants(tmp_path):
    paths = [
        evaluate(tmp_path / variant, fold, variant=variant)
        for variant, folds in (("z", (0, 1)), ("a", (2,)))
        for fold in folds
    ]
    output, differences = tmp_path / "metrics.csv", tmp_path / "differences.csv"
    argv = ["--ranks", *map(str, paths), "--output", str(output), "--differences", str(differences)]
    assert main(["aggregate", *argv]) == 0
    _, rows = table(differences)
    assert [(row["variant"], row["against"], row["rerank"]) for row in rows] == [
        (*pair, rerank)
        for pair in (("z", "a"), ("a", "z"))
        for rerank in ("none", "mr-code", "mr-paper")
    ]
    means = {(r["variant"], r["rerank"]): r for r in table(output)[1] if r["fold"] == "mean"}
    for row in rows:
        one, two = means[row["variant"], row["rerank"]], means[row["against"], row["rerank"]]
        for name, column in (("difference", "mr"), ("difference_expected", "mr_expected")):
            assert float(row[name]) == pytest.approx(
                float(one[column]) - float(two[column]), abs=2e-4
            )
        assert float(row["low"]) < float(row["difference"]) < float(row["high"])
        assert 0 <= float(row["above"]) <= 1


def test_aggregate_of_one_variant_writes_a_header_without_differences(tmp_path):
    differences = tmp_path / "differences.csv"
    argv = ["--ranks", str(evaluate(tmp_path, 0)), "--output", str(tmp_path / "metrics.csv")]
    assert main(["aggregate", *argv, "--differences", str(differences)]) == 0
    header, rows = table(differences)
    assert header[:4] == ["dataset", "variant", "against", "rerank"] and rows == []


def test_aggregate_refuses_what_does_not_belong_together(tmp_path, capsys):
    first = evaluate(tmp_path, 0)
    output = ["--output", tmp_path / "metrics.csv"]
    assert "fold 0 is given twice" in refused(capsys, "aggregate", "--ranks", first, first, *output)
    other = evaluate(tmp_path, 1, reranks=["none"])
    line = refused(capsys, "aggregate", "--ranks", first, other, *output)
    assert (
        "fold 1 was evaluated under none with pessimistic ties, fold 0 under none, mr-code" in line
    )
    other = evaluate(tmp_path, 1, image_of_sentence=IMAGE_OF_SENTENCE[::-1])
    line = refused(capsys, "aggregate", "--ranks", first, other, *output)
    assert "tested on other images than fold 0" in line
    with h5py.File(other, "r+") as file:
        file.attrs["provenance"] = "{}"
    assert "does not say 'dataset'" in refused(capsys, "aggregate", "--ranks", other, *output)
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--resamples", "0"], "ConfigError: resamples must be at least 1"),
        (["--confidence", "95"], "ConfigError: confidence is a fraction in (0, 1)"),
        (["--seed", "-1"], "ConfigError: seed must be at least 0"),
        (["--rerank", "mr-code"], "no validation matrix to choose on; give one value of each"),
        (["--rerank", "mr-code", "--k", "0"], "ConfigError: k is the number of candidates"),
        (["--rerank", "mr"], "invalid choice: 'mr'"),
        (["--beta", "0"], "ConfigError: beta is an inverse temperature above 0"),
        (["--threads", "0"], "ConfigError: threads must be at least 1, got 0"),
        (["--image-of-sentence", "nowhere.npy"], "DataError: nowhere.npy does not exist"),
        ([], "30 sentences cannot be divided equally among 12 images"),
    ],
)
def test_evaluate_refuses_in_one_line(saved, capsys, flags, message):
    known = [] if not flags or "--image" in flags[0] else ["--image-of-sentence", saved / "I.npy"]
    argv = ["--similarity", saved / "S.npy", "--output", saved / "M.csv", *known, *flags]
    assert message in refused(capsys, "evaluate", *argv)
    assert not (saved / "M.csv").exists()


def objects(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def archive(path):
    with path.open("wb") as file:
        np.savez(file, a=np.ones((2, 2)))


def not_a_number(path):
    np.save(path, np.array([[1.0, np.nan]]))


def flat(path):
    np.save(path, np.ones(5))


def short(path):
    np.save(path, np.ones((50, 50)))
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b""), "no whole .npy file of numbers"),
        (lambda path: path.write_bytes(b"PK\x03\x04 a torn archive"), "no whole .npy file"),
        (objects, "no whole .npy file of numbers"),
        (archive, "no whole .npy file of numbers"),
        (short, "no whole .npy file of numbers"),
        (not_a_number, "similarity[0, 1] is nan"),
        (flat, "shape (5,), expected a non-empty table"),
        (lambda path: path.mkdir(), "no whole .npy file"),
    ],
)
def test_damaged_matrices_get_one_line(tmp_path, capsys, damage, message):
    path = tmp_path / "S.npy"
    damage(path)
    flags = ["--direction", "i2t", "--variant", "code", "--output", tmp_path / "R.npy"]
    assert message in refused(capsys, "rerank", "--similarity", path, *flags)
    assert message in refused(
        capsys, "evaluate", "--similarity", path, "--output", tmp_path / "M.csv"
    )
    assert not (tmp_path / "R.npy").exists() and not (tmp_path / "M.csv").exists()


def test_a_changed_byte_in_the_header_never_causes_a_traceback(saved, capsys):
    whole = (saved / "S.npy").read_bytes()
    random = np.random.default_rng(0)
    torn = saved / "torn.npy"
    for position in range(128):  # the whole header
        torn.write_bytes(whole[:position] + bytes([random.integers(256)]) + whole[position + 1 :])
        flags = ["--image-of-sentence", saved / "I.npy", "--output", saved / "M.csv"]
        assert main(
            [str(w) for w in ["evaluate", "--similarity", torn, "--resamples", 1, *flags]]
        ) in (0, 2)
        assert capsys.readouterr().err.count("\n") <= 1


def test_our_own_file_cut_short_gets_one_line(tmp_path, capsys):
    path = write_similarity(tmp_path / "similarity.h5", 0)
    path.write_bytes(path.read_bytes()[:-500])
    output = ["--output", tmp_path / "M.csv"]
    assert "StoreError" in refused(capsys, "evaluate", "--similarity", path, *output)


def test_an_output_that_cannot_be_written_gets_one_line(saved, capsys):
    flags = ["--direction", "i2t", "--variant", "code", "--output", saved]
    assert "cannot be written" in refused(capsys, "rerank", "--similarity", saved / "S.npy", *flags)
    flags = ["--image-of-sentence", saved / "I.npy", "--output", saved / "S.npy" / "M.csv"]
    assert "cannot be written" in refused(
        capsys, "evaluate", "--similarity", saved / "S.npy", *flags
    )
