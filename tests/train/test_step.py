"""A training step: clipping, precision, compiling, and several processes against one."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from galr.errors import ConfigError
from galr.train.average import WeightAverage
from galr.train.loss import build_loss
from galr.train.optimizer import Schedule
from galr.train.step import TrainStep

CLUSTER_JOB = {  # of one task, as Snakemake requests it; training starts its processes itself
    "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_STEP_ID": "0",
    "SLURM_SRUN_COMM_HOST": "localhost",
}  # fmt: skip


def build_step(
    model, *, grad_clip_norm=None, compiled=False, precision="32-true", loss="triplet_sum",
    schedule=None, **options,
):  # fmt: skip
    return TrainStep(
        model, build_loss(loss, 0.2, 0.07), Fabric(accelerator="cpu", devices=1, precision=precision),
        learning_rate=1e-3, schedule=schedule or Schedule(epochs=1, steps_per_epoch=1),
        grad_clip_norm=grad_clip_norm, compiled=compiled, **options,
    )  # fmt: skip


def gradient_norm(model):
    return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()


def test_gradients_are_clipped_after_they_are_computed(toy):
    norms = []
    for grad_clip_norm in (None, 0.5):
        model = toy.build_model()
        (batch,) = toy.batches().epoch()
        build_step(model, grad_clip_norm=grad_clip_norm).step(batch)
        norms.append(gradient_norm(model).item())
    assert norms[0] > 5 and norms[1] == pytest.approx(0.5, rel=1e-3)


def losses(toy, steps=3, branches="both", **options):
    train_step = build_step(toy.build_model(branches=branches), **options)
    batches = toy.batches(batch_size=24)
    return torch.stack([train_step.step(batch) for _ in range(steps) for batch in batches.epoch()])


def test_bf16_changes_the_loss_by_rounding_alone(toy):
    exact, rounded = losses(toy), losses(toy, precision="bf16-mixed")
    assert rounded.dtype == torch.float32  # the loss itself is not rounded
    torch.testing.assert_close(rounded[0], exact[0], rtol=0.02, atol=0)
    assert not torch.equal(rounded, exact)


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # torch's own
def test_compiling_changes_the_loss_by_rounding_alone(toy):
    """Without the residual network, which takes a minute to compile."""
    options = {"branches": "local", "steps": 2}
    torch.testing.assert_close(losses(toy, compiled=True, **options), losses(toy, **options))


def test_the_temperature_is_learned_and_restored(toy):
    train_step = build_step(toy.build_model(), loss="infonce")
    before = {name: value.clone() for name, value in train_step.state()["loss"].items()}
    (batch,) = toy.batches().epoch()
    train_step.step(batch)
    after = train_step.state()
    assert all(not torch.equal(after["loss"][name], before[name]) for name in before) and before
    other = build_step(toy.build_model(), loss="infonce")
    other.restore(after)
    assert torch.equal(other.step(batch), train_step.step(batch))


def take_steps(toy, train_step, steps):
    """Take steps of one batch each, and return the weights after each."""
    weights = []
    for _ in range(steps):
        (batch,) = toy.batches().epoch()
        train_step.step(batch)
        weights.append({k: v.clone() for k, v in train_step.model.state_dict().items()})
    return weights


def test_the_average_is_that_of_plain_loops(toy):
    """Weights and running statistics are averaged, counts of batches copied; afterwards all is as before."""
    model = toy.build_model()
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    train_step = build_step(model, average=0.3)
    weights = take_steps(toy, train_step, 5)
    for number, after in enumerate(weights):
        decay = min(0.3, (1 + number) / (10 + number))
        for name, value in after.items():
            mean = decay * expected[name] + (1 - decay) * value
            expected[name] = mean if value.is_floating_point() else value
    with train_step.kept_weights():
        averaged = {name: value.clone() for name, value in model.state_dict().items()}
    assert averaged.keys() == expected.keys()
    for name, value in averaged.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-7)
    assert any(not value.is_floating_point() for value in averaged.values())
    assert all(torch.equal(value, weights[-1][name]) for name, value in model.state_dict().items())
    with pytest.raises(KeyboardInterrupt), train_step.kept_weights():
        raise KeyboardInterrupt
    assert all(torch.equal(value, weights[-1][name]) for name, value in model.state_dict().items())


def test_a_mask_of_infinities_stays_as_it_is_in_the_average():
    module = torch.nn.Linear(2, 2)
    module.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    average = WeightAverage(module, 0.5)
    for _ in range(3):
        average.update()
    with average.applied():
        assert module.mask.tolist() == [0.0, -torch.inf]


def test_frozen_weights_are_neither_trained_nor_clipped_nor_averaged(toy):
    model = toy.build_model()
    model.local_branch.requires_grad_(False)
    before = {name: value.clone() for name, value in model.named_parameters()}
    train_step = build_step(
        model, grad_clip_norm=0.5, average=0.5, optimizer="adamw", weight_decay=0.1
    )
    take_steps(toy, train_step, 1)
    assert gradient_norm(model).item() == pytest.approx(0.5, rel=1e-3)  # of what is trained
    frozen = {name for name in before if name.startswith("local_branch.")}
    changed = {n for n, value in model.named_parameters() if not torch.equal(value, before[n])}
    assert frozen and not frozen & changed
    assert changed >= {name for name in before if name.startswith("text_encoder.gru.weight")}
    assert not frozen & train_step.state()["average"]["average"].keys()


def test_a_model_that_is_wholly_frozen_cannot_be_trained(toy):
    with pytest.raises(
        ConfigError, match=r"every weight of the model is frozen .*train.epochs: 0 to keep"
    ):
        build_step(toy.build_model().requires_grad_(False), loss="infonce")


def test_two_processes_learn_what_one_learns(tmp_path):
    """The losses and weights of three steps over gathered batches, by a program of its own."""
    script = Path(__file__).with_name("two_processes.py")
    subprocess.run(
        [sys.executable, script, "2", tmp_path / "2.pt"],
        check=True, capture_output=True, timeout=300, env=os.environ | CLUSTER_JOB,
    )  # fmt: skip
    runpy.run_path(str(script))["main"](1, tmp_path / "1.pt")
    one, two = (torch.load(tmp_path / f"{processes}.pt") for processes in ("1", "2"))
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-5, atol=1e-5)
    for name, weights in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weights, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(two["kept"][name], one["kept"][name], rtol=1e-4, atol=1e-5)
        for kept in two["kept_by_rank"]:  # to the bit, so any process may validate and save
            assert torch.equal(kept[name], two["kept"][name])
    assert any(not torch.equal(one["kept"][name], one["weights"][name]) for name in one["kept"])
