"""
Output for people while jobs run and at the end.

While they run: the progress of each job, as bars at the foot of a terminal, or as lines where there is none.
At the end: the table and the path of each requested report.
"""

import atexit
import logging
import re
import subprocess
import sys
from pathlib import Path

from galr.progress import ProgressMonitor

MONITOR = ProgressMonitor(Path(".snakemake/galr_progress"))


def reports_asked_for():
    """The reports among the targets; without a target, those of the config's datasets."""
    targets = workflow.dag_settings.targets
    if not targets:
        return [f"results/{dataset}/report.html" for dataset in config["datasets"]]
    return [
        target
        for target in targets
        if re.fullmatch("results/[^/]+/report.html", str(target))
    ]


def show_reports():
    """Print the table of results and the report's path, for each requested report."""
    for report in reports_asked_for():
        metrics = str(Path(report).with_name("metrics.csv"))
        words = ["show", "--metrics", metrics, "--report", report]
        subprocess.run([sys.executable, "-m", "galr", *words], check=False)


def show_reports_that_are_there(record):
    """Watch Snakemake's messages for the one that no job is needed; the reports are shown after it."""
    if record.getMessage().startswith("Nothing to be done") and not workflow.dryrun:
        atexit.register(show_reports)
    return True


logging.getLogger("snakemake.logging").addFilter(show_reports_that_are_there)


onstart:
    logging.getLogger("snakemake.logging").addFilter(MONITOR.start())


onsuccess:
    MONITOR.stop()
    show_reports()


onerror:
    MONITOR.stop()
