"""What is told of a training while it runs: a line an epoch, and curves for TensorBoard."""

from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

SPEED_COLUMNS = ("learning_rate", "pairs_a_second")


class TrainingLogger:
    """Called with every row of history.

    Args:
        events: folder of TensorBoard's event files; None writes none.
    """

    def __init__(self, events: Path | None) -> None:
        self._events = events
        self._writer: SummaryWriter | None = None

    def __call__(self, row: dict[str, Any]) -> None:
        """Print an epoch, and draw it: `loss`, `speed/…` and `validation/…`."""
        tqdm.write(
            f"epoch {row['epoch']:>3}  loss {row['loss']:8.3f}  validation mR {row['mr']:6.2f}"
            f"  {row['pairs_a_second']:.0f} pairs/s"
        )
        if self._events is None:
            return
        epoch = row["epoch"]
        if (
            self._writer is None
        ):  # curves of an earlier training, or of epochs told before, end here
            self._writer = SummaryWriter(str(self._events), purge_step=epoch)
        for name, value in row.items():
            room = "speed/" if name in SPEED_COLUMNS else "" if name == "loss" else "validation/"
            if name != "epoch":
                self._writer.add_scalar(room + name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
