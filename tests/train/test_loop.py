"""Training to its end, twice, and killed at any moment."""

import math

import pytest
import torch
from lightning_fabric import Fabric

from galr.errors import DataError
from galr.train.embed import validate
from galr.train.loop import fit, validate_untrained
from galr.train.loss import build_loss
from galr.train.optimizer import Schedule
from galr.train.resume import ResumeState
from galr.train.step import TrainStep


class Killed(Exception):
    """The training was killed."""


EXTENDED = {
    "schedule": {"name": "cosine", "warmup": 0.3},
    "options": {
        "optimizer": "adamw", "weight_decay": 0.05, "encoder_learning_rate": 1e-3, "average": 0.9,
    },
}  # fmt: skip


def train(
    toy, path, *, epochs=3, interval=0.0, batch_size=8, seed=3, rate=2e-3, on_event=None,
    schedule=None, options=None,
):  # fmt: skip
    """Train with dropout and rotation; `on_event` is called before each step, validation and log, and may raise."""
    on_event = on_event or (lambda event: None)
    fabric, model = Fabric(accelerator="cpu", devices=1), toy.build_model(dropout=0.1)
    batches = toy.batches(batch_size=batch_size, max_rotation=90.0, group_by_image=False, seed=seed)
    course = {"lr_decay": 0.7, "lr_decay_every": 2} | (schedule or {})
    train_step = TrainStep(
        model, build_loss("infonce", 0.2, 0.07), fabric, learning_rate=rate,
        schedule=Schedule(epochs=epochs, steps_per_epoch=batches.num_steps, **course),
        grad_clip_norm=2.0, compiled=False, **options or {},
    )  # fmt: skip
    rows, step = [], train_step.step

    def watched_step(batch):
        on_event("step")
        return step(batch)

    def watched_validate():
        on_event("validate")
        return validate(
            model, toy.images, toy.graphs, toy.split, toy.token_ids,
            input_size=32, batch_size=batch_size,
        )  # fmt: skip

    def log(row):
        on_event("log")
        rows.append(row)

    train_step.step = watched_step
    resume = ResumeState(path, {"seed": seed}, interval)
    result = fit(train_step, batches, watched_validate, fabric, resume, epochs=epochs, log=log)
    return model, result, rows


def test_one_batch_is_memorised_and_the_best_epoch_kept(toy, tmp_path):
    fabric, model = Fabric(accelerator="cpu", devices=1), toy.build_model()
    train_step = TrainStep(
        model, build_loss("triplet_sum", 0.2, 0.07), fabric,
        learning_rate=2e-3,
        schedule=Schedule(epochs=15, steps_per_epoch=1, lr_decay=0.7, lr_decay_every=10),
        grad_clip_norm=2.0, compiled=False,
    )  # fmt: skip

    def recalls():
        return validate(
            model, toy.images, toy.graphs, toy.split, toy.token_ids, input_size=32, batch_size=24
        )

    rows, resume = [], ResumeState(tmp_path / "resume.pt", {}, 1e9)
    result = fit(train_step, toy.batches(), recalls, fabric, resume, epochs=15, log=rows.append)
    assert rows[-1]["loss"] < rows[0]["loss"] / 5
    assert result.mr == max(row["mr"] for row in rows) and result.history == rows
    assert result.epoch == next(row["epoch"] for row in rows if row["mr"] == result.mr)
    model.load_state_dict(result.state)
    assert recalls()["mr"] == pytest.approx(result.mr)
    assert [row["learning_rate"] for row in rows[9:11]] == pytest.approx([2e-3, 1.4e-3])


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def without_speed(history):
    return [{k: v for k, v in row.items() if k != "pairs_per_second"} for row in history]


def test_same_seed_same_weights(toy, tmp_path):
    one, two, other = (
        train(toy, tmp_path / f"{i}.pt", epochs=1, seed=seed)[1].state
        for i, seed in enumerate((3, 3, 4))
    )
    assert equal(one, two) and not equal(one, other)


@pytest.fixture
def uninterrupted(toy, tmp_path):
    """A training of three epochs of three steps."""
    return train(toy, tmp_path / "uninterrupted.pt", interval=1e9)


def kill_at(event, times):
    """Something to call at every event that raises at one of them."""
    remaining = {event: times}

    def kill(now):
        remaining[now] = remaining.get(now, 0) - 1
        if remaining[now] == 0:
            raise Killed(now)

    return kill


@pytest.mark.parametrize("interval", [0.0, 1e9])
@pytest.mark.parametrize(
    "kills",
    [
        [("step", 1)], [("step", 3)], [("step", 4)], [("step", 9)],
        [("validate", 1)], [("validate", 3)], [("log", 2)],
        [("step", 2), ("validate", 1), ("step", 3), ("log", 1)],
    ],
    ids=str,
)  # fmt: skip
def test_killed_anywhere_it_resumes_to_the_same_bits(toy, uninterrupted, tmp_path, kills, interval):
    for event, times in kills:
        with pytest.raises(Killed):
            train(toy, tmp_path / "resume.pt", interval=interval, on_event=kill_at(event, times))
    model, result, _ = train(toy, tmp_path / "resume.pt", interval=interval)
    expected_model, expected, rows = uninterrupted
    assert equal(model.state_dict(), expected_model.state_dict())  # of the last epoch
    assert equal(result.state, expected.state)  # of the best epoch
    assert (result.epoch, result.mr) == (expected.epoch, expected.mr)
    assert without_speed(result.history) == without_speed(rows)


@pytest.mark.parametrize("event", [("step", 3), ("step", 6), ("validate", 2), ("log", 2)], ids=str)
def test_warmup_cosine_and_average_resume_to_the_same_bits(toy, tmp_path, event):
    """In the warm-up, in the cosine, and while the model has its averaged weights."""
    model, expected, rows = train(toy, tmp_path / "whole.pt", interval=1e9, **EXTENDED)
    with pytest.raises(Killed):
        train(toy, tmp_path / "resume.pt", on_event=kill_at(*event), **EXTENDED)
    again, result, _ = train(toy, tmp_path / "resume.pt", **EXTENDED)
    assert equal(again.state_dict(), model.state_dict())
    assert equal(result.state, expected.state)
    assert (result.epoch, result.mr) == (expected.epoch, expected.mr)
    assert without_speed(result.history) == without_speed(rows)
    assert not equal(result.state, model.state_dict())  # it is the average
    rates = [row["learning_rate"] for row in rows]  # the last of each epoch; of 9 steps 3 rise
    expected_rates = [2e-3 * (1 + math.cos(math.pi * done / 6)) / 2 for done in (0, 2, 5)]
    assert rates == pytest.approx(expected_rates)


def test_the_average_is_what_is_validated_and_kept(toy, tmp_path):
    plain, (model, result, _) = (
        train(toy, tmp_path / f"{average}.pt", epochs=1, options={"average": average})
        for average in (0.0, 0.9)
    )
    assert equal(plain[0].state_dict(), model.state_dict())  # training itself is not changed
    assert equal(plain[1].state, plain[0].state_dict())
    assert not equal(result.state, model.state_dict())
    model.load_state_dict(result.state)
    kept = validate(
        model, toy.images, toy.graphs, toy.split, toy.token_ids, input_size=32, batch_size=8
    )
    assert kept["mr"] == result.mr


def test_a_training_of_no_epochs_keeps_the_model_as_it_was_built(toy, capsys):
    model, rows = toy.build_model(), []
    built = {name: value.clone() for name, value in model.state_dict().items()}

    def recalls():
        return validate(
            model, toy.images, toy.graphs, toy.split, toy.token_ids, input_size=32, batch_size=24
        )

    fabric = Fabric(accelerator="cpu", devices=1)
    result = validate_untrained(model, recalls, fabric, log=rows.append)
    assert equal(result.state, built) and result.epoch == 0
    assert result.mr == recalls()["mr"] and result.history == rows
    assert rows[0]["epoch"] == 0 and rows[0]["loss"] is None and rows[0]["mr"] == result.mr
    assert "nothing is trained: train.epochs is 0" in capsys.readouterr().out


def test_saved_steps_are_not_repeated(toy, tmp_path):
    steps = []

    def kill_at_sixth(event):
        if event == "step":
            steps.append(event)
            if len(steps) == 6:
                raise Killed

    with pytest.raises(Killed):
        train(toy, tmp_path / "resume.pt", on_event=kill_at_sixth)
    train(toy, tmp_path / "resume.pt", on_event=kill_at_sixth)
    assert len(steps) == 6 + 4  # nine steps in all, of which five were saved


def test_the_state_of_another_training_is_not_used(toy, tmp_path, capsys):
    path = tmp_path / "resume.pt"
    train(toy, path, epochs=1, seed=3)
    fresh = train(toy, tmp_path / "fresh.pt", epochs=1, seed=4)[1].state
    capsys.readouterr()
    assert equal(train(toy, path, epochs=1, seed=4)[1].state, fresh)
    out = capsys.readouterr().out
    assert "is of another training (seed differs): starting from the beginning" in out


def test_a_damaged_state_does_not_stop_the_training(toy, tmp_path, capsys):
    path = tmp_path / "resume.pt"
    train(toy, path, epochs=1)
    fresh = train(toy, tmp_path / "fresh.pt", epochs=1)[1].state
    path.write_bytes(path.read_bytes()[:5000])
    capsys.readouterr()
    assert equal(train(toy, path, epochs=1)[1].state, fresh)
    assert "is damaged" in capsys.readouterr().out


def test_a_failed_save_leaves_the_older_state(tmp_path):
    resume = ResumeState(tmp_path / "resume.pt", {}, 0)
    resume.save({"step": 1})
    with pytest.raises(AttributeError):
        resume.save({"step": lambda: None})  # cannot be pickled
    assert resume.read() == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["resume.pt"]
    resume.delete()
    assert resume.read() is None and not resume.reject_reason


def test_an_infinite_loss_is_an_error(toy, tmp_path):
    with pytest.raises(DataError, match=r"the loss of epoch \d is nan; lower train.learning_rate"):
        train(toy, tmp_path / "resume.pt", rate=math.inf, epochs=2)
