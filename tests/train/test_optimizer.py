"""Learning rates over a training, and which weights share a rate and a decay."""

import math
from itertools import pairwise

import pytest
import torch

from galr.train.loss import InfoNCE, TripletSum
from galr.train.optimizer import Schedule, build_optimizer

DEFAULTS = {
    "name": "adam", "learning_rate": 2e-3, "encoder_learning_rate": None, "weight_decay": 0.0,
}  # fmt: skip


def factors(steps=None, **options):
    schedule = Schedule(epochs=5, steps_per_epoch=4, **options)
    return [schedule.factor(step) for step in range(steps or 20)]


def test_steps_decay_to_the_bit_as_they_are_defined():
    expected = [0.7 ** (step // 4 // 2) for step in range(20)]
    assert factors(lr_decay=0.7, lr_decay_every=2) == expected


def test_a_cosine_falls_from_one_to_zero_over_the_training():
    values = factors(21, name="cosine", lr_decay=0.1)  # which is not the cosine's
    assert values[0] == 1 and values[10] == pytest.approx(0.5) and values[20] == pytest.approx(0)
    assert all(one > next_ for one, next_ in pairwise(values))
    assert values[5] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert factors(30, name="cosine")[20:] == pytest.approx([0] * 10)  # it does not rise again


@pytest.mark.parametrize("name", ["step", "cosine"])
@pytest.mark.parametrize(("warmup", "rising"), [(0.25, 5), (0.02, 0), (0.05, 1), (0.999, 19)])
def test_the_warmup_rises_linearly_from_near_zero(name, warmup, rising):
    values = factors(name=name, warmup=warmup)
    assert values[:rising] == pytest.approx([(step + 1) / rising for step in range(rising)])
    assert values[rising] == 1 and all(0 < value <= 1 for value in values)


def test_a_training_of_one_step_has_its_learning_rate():
    for name in ("step", "cosine"):
        assert Schedule(epochs=1, steps_per_epoch=1, name=name, warmup=0.9).factor(0) == 1


def names_by_group(model, loss, optimizer):
    """Names of the weights of each group, by its learning rate and decay."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    names |= {id(weight): f"loss.{name}" for name, weight in loss.named_parameters()}
    return {
        (group["initial_lr"], group["weight_decay"]): [names[id(p)] for p in group["params"]]
        for group in optimizer.param_groups
    }


def test_by_default_one_group_holds_all_weights_in_order(toy):
    model, loss = toy.build_model(), InfoNCE(0.07)
    optimizer = build_optimizer(model, loss, **DEFAULTS)
    assert type(optimizer) is torch.optim.Adam
    expected = [*(name for name, _ in model.named_parameters()), "loss.log_scale"]
    assert names_by_group(model, loss, optimizer) == {(2e-3, 0.0): expected}


def test_encoders_have_their_rate_and_biases_norms_and_temperature_do_not_decay(toy):
    model, loss = toy.build_model(), InfoNCE(0.07)
    options = {"name": "adamw", "encoder_learning_rate": 1e-4, "weight_decay": 0.05}
    optimizer = build_optimizer(model, loss, **DEFAULTS | options)
    assert type(optimizer) is torch.optim.AdamW
    groups = names_by_group(model, loss, optimizer)
    assert groups.keys() == {(1e-4, 0.05), (1e-4, 0.0), (2e-3, 0.05), (2e-3, 0.0)}
    weights = dict(model.named_parameters()) | {"loss.log_scale": loss.log_scale}
    assert sorted(name for group in groups.values() for name in group) == sorted(weights)
    for (rate, decay), group in groups.items():
        for name in group:
            assert name.startswith("global_branch.backbone.") == (rate == 1e-4)
            assert (weights[name].ndim > 1) == (decay > 0)
    assert "loss.log_scale" in groups[2e-3, 0.0]


def test_groups_learn_what_one_group_learns_to_the_bit(toy):
    """A rate of the encoders that is the same changes nothing, nor does a decay of zero."""
    states = []
    for change in ({}, {"encoder_learning_rate": 2e-3}, {"name": "adamw"}):
        model = toy.build_model()
        optimizer = build_optimizer(model, TripletSum(0.2), **DEFAULTS | change)
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            for weight in model.parameters():
                weight.grad = torch.randn(weight.shape, generator=generator)
            optimizer.step()
        states.append(model.state_dict())
    for state in states[1:]:
        assert all(torch.equal(value, states[0][name]) for name, value in state.items())


def test_adamw_decays_weights_apart_from_their_gradient(toy):
    model = toy.build_model()
    options = {"name": "adamw", "weight_decay": 0.1, "learning_rate": 0.01}
    optimizer = build_optimizer(model, TripletSum(0.2), **DEFAULTS | options)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in model.named_parameters():
        factor = 1 - 0.01 * 0.1 if weight.ndim > 1 else 1.0
        torch.testing.assert_close(weight.detach(), before[name] * factor)


def test_frozen_weights_are_in_no_group(toy):
    model, loss = toy.build_model(), TripletSum(0.2)
    model.global_branch.requires_grad_(False)
    (group,) = names_by_group(model, loss, build_optimizer(model, loss, **DEFAULTS)).values()
    assert group and not any(name.startswith("global_branch.") for name in group)
