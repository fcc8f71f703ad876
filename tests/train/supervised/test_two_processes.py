"""Two processes train the same student as one. The slowest test of all: it starts Python twice."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mien_train.models.checkpoints import load_checkpoint
from mien_train.recipe import Recipe, load_recipe
from mien_train.supervised.trainer import train

# No norm over the batch, no dropout, a label and a teacher for every face: halves of a batch then add up to the whole.
WRITTEN = """
workers = 0
crop = {size = 32, anchor = "landmarks", scale = 0.9}
model = {backbone = "test_vit", weights = "", dropout = 0.0, drop_path = 0.0}
optim = {steps = 16, batch = 16, rate = 1e-3, ema = 0.5}
distill = {teacher = "TEACHER", features = 0.5}
[data]
train = ["ferplus/train"]
validation = ["ferplus/validation"]
test = ["ferplus/test"]
affect = ""
near_duplicates = -1
"""


@pytest.fixture(scope="module")
def runs(data: Path, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path, Path]:
    """The recipe, trained by one process and by two."""
    folder = tmp_path_factory.mktemp("processes")
    written, out = folder / "recipe.toml", folder / "two"
    written.write_text(WRITTEN.replace("TEACHER", str(teacher)))
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    # The environment that torchrun and accelerate launch give.
    known = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "WORLD_SIZE": "2"}
    known |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "mien_train.cli", "run", str(written), "-o", str(out), "--data", str(data)]
    processes = [
        subprocess.Popen(
            command, env={**known, "RANK": str(k), "LOCAL_RANK": str(k)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for k in range(2)
    ]  # fmt: skip
    try:
        recipe = load_recipe(written)
        train(recipe, data, folder / "one", threads=1)
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, said, strict=True):
        assert process.returncode == 0, errors[-3000:]
    assert ["is ready; pack it with" in printed for printed, _ in said] == [True, False]
    assert "16/16" in said[0][1]
    return recipe, folder / "one", out


def test_two_processes_train_the_same_student_as_one(runs: tuple[Recipe, Path, Path]) -> None:
    _, one, two = runs
    assert sorted(p.name for p in two.glob("*.p*")) == ["last.pt", "student.png", "student.pt"]
    assert len(list(two.glob("events.out*"))) == 1
    alone, both = load_checkpoint(one / "last.pt"), load_checkpoint(two / "last.pt")
    assert alone["step"] == both["step"] == 16  # the batch of the recipe is that of both together
    assert [row.keys() for row in alone["history"]] == [row.keys() for row in both["history"]]
    # Up to rounding: were the gradients not averaged, or the same faces drawn twice, they would be far apart.
    for part in ("student", "objective"):
        torch.testing.assert_close(both[part], alone[part], rtol=0, atol=2e-3)
    assert "card" in load_checkpoint(two / "student.pt")


def test_a_run_of_two_processes_can_be_resumed(runs: tuple[Recipe, Path, Path], data: Path) -> None:
    recipe, _, two = runs
    train(recipe, data, two, resume=True, threads=1)
