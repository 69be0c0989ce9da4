"""A training step: clipping, precision, compiling, and several processes against one."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from galr.train.loss import build_loss
from galr.train.step import TrainStep

CLUSTER_JOB = {  # of one task, as Snakemake requests it; training starts its processes itself
    "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_STEP_ID": "0",
    "SLURM_SRUN_COMM_HOST": "localhost",
}  # fmt: skip


def build_step(
    model, *, grad_clip_norm=None, compiled=False, precision="32-true", loss="triplet_sum"
):
    return TrainStep(
        model, build_loss(loss, 0.2, 0.07), Fabric(accelerator="cpu", devices=1, precision=precision),
        learning_rate=1e-3, lr_decay=0.7, lr_decay_every=10, grad_clip_norm=grad_clip_norm,
        compiled=compiled,
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
