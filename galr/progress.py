"""Progress of a training while it runs: a printed line for each epoch, and curves for TensorBoard."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SPEED_COLUMNS = ("learning_rate", "pairs_per_second")


class TrainingLogger:
    """Called with every row of a training's history.

    Args:
        events: folder for TensorBoard's event files; None writes none.
    """

    def __init__(self, events: Path | None) -> None:
        self._events = events
        self._writer: SummaryWriter | None = None

    def __call__(self, row: dict[str, Any]) -> None:
        """Print an epoch, and add it to the curves `loss`, `speed/…` and `validation/…`."""
        tqdm.write(
            f"epoch {row['epoch']:>3}  loss {row['loss']:8.3f}  validation mR {row['mr']:6.2f}"
            f"  {row['pairs_per_second']:.0f} pairs/s"
        )
        if self._events is None:
            return
        epoch = row["epoch"]
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # takes seconds to import

            # Curves of an earlier training, or of epochs that are repeated after a kill, end here.
            self._writer = SummaryWriter(str(self._events), purge_step=epoch)
        for name, value in row.items():
            if name == "epoch":
                continue
            group = "speed/" if name in SPEED_COLUMNS else "" if name == "loss" else "validation/"
            self._writer.add_scalar(group + name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
