"""Training to its end, again, and interrupted anywhere."""

import math

import pytest
import torch
from lightning_fabric import Fabric

from galr.errors import DataError
from galr.train.loop import fit, validate
from galr.train.loss import build_loss
from galr.train.resume import ResumeState
from galr.train.step import TrainStep


class Killed(Exception):
    """Somebody pulled the plug."""


def run(world, place, *, epochs=3, every=0.0, batch=8, seed=3, rate=2e-3, dies=None, **model):
    """Train; `dies` is asked at every moment by name and may raise."""
    dies = dies or (lambda moment: None)
    fabric, built = Fabric(accelerator="cpu", devices=1), world.model(dropout=0.1, **model)
    learner = TrainStep(
        built, build_loss("infonce", 0.2, 0.07), fabric,
        learning_rate=rate, lr_decay=0.7, lr_decay_every=2, grad_clip_norm=2.0, compiled=False,
    )  # fmt: skip
    feed = world.feed(batch=batch, rotate=90.0, grouped=False, seed=seed)
    told, learn = [], learner.step

    def learning(step):
        dies("learn")
        return learn(step)

    def check():
        dies("check")
        return validate(
            built,
            world.pictures,
            world.graphs,
            world.part,
            world.words,
            input_size=32,
            batch_size=batch,
        )

    def tell(row):
        dies("tell")
        told.append(row)

    learner.step = learning
    unfinished = ResumeState(place, {"seed": seed}, every)
    return built, fit(learner, feed, check, fabric, unfinished, epochs=epochs, log=tell), told


def plain(world, place, **how):
    """One batch of everything, shown straight: to be learnt by heart."""
    fabric, model = Fabric(accelerator="cpu", devices=1), world.model()
    learner = TrainStep(
        model, build_loss("hinge", 0.2, 0.07), fabric,
        learning_rate=2e-3, lr_decay=0.7, lr_decay_every=10, grad_clip_norm=2.0, compiled=False,
    )  # fmt: skip

    def check():
        return validate(
            model,
            world.pictures,
            world.graphs,
            world.part,
            world.words,
            input_size=32,
            batch_size=24,
        )

    told = []
    unfinished = ResumeState(place, {}, 1e9)
    fitted = fit(learner, world.feed(), check, fabric, unfinished, epochs=15, log=told.append)
    return model, fitted, told, check


def test_one_batch_is_memorised_and_the_best_epoch_kept(world, tmp_path):
    model, fitted, told, check = plain(world, tmp_path / "unfinished.pt")
    assert told[-1]["loss"] < told[0]["loss"] / 5
    assert fitted.mr == max(row["mr"] for row in told) and fitted.history == told
    assert fitted.epoch == next(row["epoch"] for row in told if row["mr"] == fitted.mr)
    model.load_state_dict(fitted.state)
    assert check()["mr"] == pytest.approx(fitted.mr)
    assert [row["learning_rate"] for row in told[9:11]] == pytest.approx([2e-3, 1.4e-3])


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def without_speed(history):
    return [{k: v for k, v in row.items() if k != "pairs_a_second"} for row in history]


def test_same_seed_same_weights(world, tmp_path):
    one, two, other = (
        run(world, tmp_path / f"{i}.pt", epochs=1, seed=seed)[1].state
        for i, seed in enumerate((3, 3, 4))
    )
    assert equal(one, two) and not equal(one, other)


@pytest.fixture
def whole(world, tmp_path):
    """The training that nobody interrupted: three epochs of three steps."""
    model, fitted, told = run(world, tmp_path / "whole.pt", every=1e9)
    return model.state_dict(), fitted, told


@pytest.mark.parametrize("every", [0.0, 1e9])
@pytest.mark.parametrize(
    "moments",
    [
        [("learn", 1)], [("learn", 3)], [("learn", 4)], [("learn", 9)],
        [("check", 1)], [("check", 3)], [("tell", 2)],
        [("learn", 2), ("check", 1), ("learn", 3), ("tell", 1)],
    ],
    ids=str,
)  # fmt: skip
def test_killed_anywhere_it_goes_on_to_the_same_bits(world, whole, tmp_path, moments, every):
    for moment, times in moments:
        left = {moment: times}

        def dies(now, left=left):
            left[now] = left.get(now, 0) - 1
            if left[now] == 0:
                raise Killed(now)

        with pytest.raises(Killed):
            run(world, tmp_path / "unfinished.pt", every=every, dies=dies)
    model, fitted, _ = run(world, tmp_path / "unfinished.pt", every=every)
    weights, expected, told = whole
    assert equal(model.state_dict(), weights)  # of the last epoch
    assert equal(fitted.state, expected.state)  # of the best one
    assert (fitted.epoch, fitted.mr) == (expected.epoch, expected.mr)
    assert without_speed(fitted.history) == without_speed(told)


def test_what_was_learnt_is_not_learnt_again(world, tmp_path):
    steps = []

    def dies(moment):
        if moment == "learn":
            steps.append(moment)
            if len(steps) == 6:
                raise Killed

    with pytest.raises(Killed):
        run(world, tmp_path / "unfinished.pt", dies=dies)
    run(world, tmp_path / "unfinished.pt", dies=dies)
    assert len(steps) == 6 + 4  # nine steps in all, of which five were kept


def test_a_training_is_not_mistaken_for_another(world, tmp_path, capsys):
    place = tmp_path / "unfinished.pt"
    run(world, place, epochs=1, seed=3)
    fresh = run(world, tmp_path / "fresh.pt", epochs=1, seed=4)[1].state
    capsys.readouterr()
    assert equal(run(world, place, epochs=1, seed=4)[1].state, fresh)
    assert "is of another training (seed differs): starting anew" in capsys.readouterr().out


def test_a_damaged_file_is_no_reason_to_stop(world, tmp_path, capsys):
    place = tmp_path / "unfinished.pt"
    run(world, place, epochs=1)
    fresh = run(world, tmp_path / "fresh.pt", epochs=1)[1].state
    place.write_bytes(place.read_bytes()[:5000])
    capsys.readouterr()
    assert equal(run(world, place, epochs=1)[1].state, fresh)
    assert "is damaged" in capsys.readouterr().out


def test_nothing_is_left_of_a_save_that_fails(tmp_path):
    unfinished = ResumeState(tmp_path / "unfinished.pt", {}, 0)
    unfinished.save({"step": 1})
    with pytest.raises(AttributeError):
        unfinished.save({"step": lambda: None})  # nothing that can be written
    assert unfinished.read() == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["unfinished.pt"]
    unfinished.delete()
    assert unfinished.read() is None and not unfinished.reject_reason


def test_a_loss_that_is_no_number_is_named(world, tmp_path):
    with pytest.raises(DataError, match=r"the loss of epoch \d is nan; lower train.learning_rate"):
        run(world, tmp_path / "unfinished.pt", rate=math.inf, epochs=2)
