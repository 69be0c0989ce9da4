"""What each stage of a run cost: seconds and peak memory, as Snakemake measured them.

    python benchmarks/stages.py ucm

Reads benchmarks/<stage>/<dataset>… .tsv, which every job of a run leaves, and prints one row a stage.
"""

import sys
from pathlib import Path

import pandas as pd

STAGES = (
    "draw", "extract", "data", "train_detector", "regions", "graphs", "folds", "train",
    "similarity", "evaluate", "tabulate", "report",
)  # fmt: skip


def jobs(folder: Path, stage: str, dataset: str) -> pd.DataFrame:
    """Every job of a stage: seconds `s` and peak resident memory `max_rss` in MB."""
    files = sorted(folder.glob(f"{stage}/{dataset}.tsv")) + sorted(
        folder.glob(f"{stage}/{dataset}/**/*.tsv")
    )
    if stage == "train_detector":
        files = sorted(folder.glob("train_detector/*.tsv"))
    tables = [pd.read_table(file, na_values="-") for file in files]
    return pd.concat(tables) if tables else pd.DataFrame(columns=["s", "max_rss"])


def main(dataset: str) -> None:
    """Print the table in Markdown."""
    print(f"| stage of {dataset} | jobs | seconds in all | longest job, s | peak memory, MB |")
    print("|---|---|---|---|---|")
    for stage in STAGES:
        table = jobs(Path(__file__).parent, stage, dataset)
        if len(table):
            seconds = table["s"]
            print(
                f"| {stage} | {len(table)} | {seconds.sum():.0f} | {seconds.max():.0f} "
                f"| {table['max_rss'].max():.0f} |"
            )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo")
