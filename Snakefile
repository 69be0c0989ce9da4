"""Front door: read the config, include the rules in their order, name the results.

    snakemake --cores 8 results/rsitmd/metrics.csv

data → regions → graphs → features → train → similarity → evaluate → report
"""

from snakemake.utils import min_version

min_version("9.0")


report: "workflow/report/workflow.rst"


include: "workflow/rules/config.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/params.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/regions.smk"
include: "workflow/rules/graphs.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/similarity.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/unknown.smk"
include: "workflow/rules/progress.smk"


rule all:
    default_target: True
    input:
        expand("results/{dataset}/metrics.csv", dataset=config["datasets"]),
        expand("results/{dataset}/report.html", dataset=config["datasets"]),
