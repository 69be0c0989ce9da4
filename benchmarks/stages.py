"""Seconds and peak memory of every rule of a run, as Snakemake measured them.

    python benchmarks/stages.py ucm

Reads benchmarks/<rule>/<dataset>….tsv, which every job of a run writes, and prints a row for each rule.
"""

import sys
from pathlib import Path

import pandas as pd

RULES = (
    "draw", "extract", "data", "train_detector", "regions", "graphs", "folds", "train",
    "similarity", "evaluate", "aggregate", "report",
)  # fmt: skip


def jobs(folder: Path, rule: str, dataset: str) -> pd.DataFrame:
    """Every job of a rule: seconds `s` and peak resident memory `max_rss` in MB."""
    files = sorted(folder.glob(f"{rule}/{dataset}.tsv")) + sorted(
        folder.glob(f"{rule}/{dataset}/**/*.tsv")
    )
    if rule == "train_detector":
        files = sorted(folder.glob("train_detector/*.tsv"))
    tables = [pd.read_table(file, na_values="-") for file in files]
    return pd.concat(tables) if tables else pd.DataFrame(columns=["s", "max_rss"])


def main(dataset: str) -> None:
    """Print the table in Markdown."""
    print(f"| rule of {dataset} | jobs | seconds in all | longest job, s | peak memory, MB |")
    print("|---|---|---|---|---|")
    for rule in RULES:
        table = jobs(Path(__file__).parent, rule, dataset)
        if len(table):
            seconds = table["s"]
            print(
                f"| {rule} | {len(table)} | {seconds.sum():.0f} | {seconds.max():.0f} "
                f"| {table['max_rss'].max():.0f} |"
            )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo")
