"""A step of learning: what it clips, what rounding may change, and several processes against one."""

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

IN_A_CLUSTER_JOB = {  # of one task, as Snakemake asks for; training starts its processes itself
    "SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7",
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_STEP_ID": "0",
    "SLURM_SRUN_COMM_HOST": "localhost",
}  # fmt: skip


def learner_of(model, *, clip=None, compiled=False, precision="32-true", loss="hinge"):
    return TrainStep(
        model, build_loss(loss, 0.2, 0.07), Fabric(accelerator="cpu", devices=1, precision=precision),
        learning_rate=1e-3, lr_decay=0.7, lr_decay_every=10, grad_clip_norm=clip, compiled=compiled,
    )  # fmt: skip


def norm(model):
    return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()


def test_gradients_are_clipped_after_they_are_there(world):
    norms = []
    for clip in (None, 0.5):
        model = world.model()
        (step,) = world.feed().epoch()
        learner_of(model, clip=clip).step(step)
        norms.append(norm(model).item())
    assert norms[0] > 5 and norms[1] == pytest.approx(0.5, rel=1e-3)


def losses(world, steps=3, branches="both", **how):
    learner = learner_of(world.model(branches=branches), **how)
    feed = world.feed(batch=24)
    return torch.stack([learner.step(step) for _ in range(steps) for step in feed.epoch()])


def test_bf16_changes_no_more_than_its_rounding(world):
    exact, rounded = losses(world), losses(world, precision="bf16-mixed")
    assert rounded.dtype == torch.float32  # the loss itself is not rounded
    torch.testing.assert_close(rounded[0], exact[0], rtol=0.02, atol=0)
    assert not torch.equal(rounded, exact)


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # torch's own
def test_compiling_changes_no_more_than_rounding(world):
    """Without the residual network, which takes a minute to compile."""
    how = {"branches": "local", "steps": 2}
    torch.testing.assert_close(losses(world, compiled=True, **how), losses(world, **how))


def test_a_temperature_is_learnt_and_remembered(world):
    learner = learner_of(world.model(), loss="infonce")
    before = {name: value.clone() for name, value in learner.state()["loss"].items()}
    (step,) = world.feed().epoch()
    learner.step(step)
    after = learner.state()
    assert all(not torch.equal(after["loss"][name], before[name]) for name in before) and before
    other = learner_of(world.model(), loss="infonce")
    other.restore(after)
    assert torch.equal(other.step(step), learner.step(step))


def test_two_processes_learn_what_one_learns(tmp_path):
    """The losses and weights of three steps over gathered batches, by a program of its own."""
    script = Path(__file__).with_name("two_processes.py")
    subprocess.run(
        [sys.executable, script, "2", tmp_path / "2.pt"],
        check=True, capture_output=True, timeout=300, env=os.environ | IN_A_CLUSTER_JOB,
    )  # fmt: skip
    runpy.run_path(str(script))["main"](1, tmp_path / "1.pt")
    one, two = (torch.load(tmp_path / f"{processes}.pt") for processes in ("1", "2"))
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-5, atol=1e-5)
    for name, weights in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weights, rtol=1e-4, atol=1e-5)
