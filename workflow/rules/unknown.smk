"""
A target with the name of a dataset, detector, variant, fold or file that does not exist ends the run with one line.

Without this rule Snakemake says that no rule makes the target. No job of it ever runs.
"""


rule unknown:
    input:
        unknown_name,
    output:
        "{unknown}",
    log:
        "logs/unknown/{unknown}.log",
    localrule: True
    conda:
        "../../environment.yml"
