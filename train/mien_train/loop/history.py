"""The course of a training: losses and scores by step."""

from __future__ import annotations

from torch.utils.tensorboard import SummaryWriter


class History:
    """What is written to TensorBoard, kept with the checkpoint too: rows of step and values, for the final picture."""

    def __init__(self, rows: list[dict[str, float]] | None = None):
        self.rows = rows or []

    def note(self, writer: SummaryWriter, step: int, **values: float) -> None:
        self.rows.append({"step": step, **values})
        for name, value in values.items():
            writer.add_scalar(name, value, step)
