"""
Rank, rerank and score every fold; gather all of them into one table.

IN   results/{dataset}/{variant}/fold{fold}/similarity.h5
OUT  results/{dataset}/{variant}/fold{fold}/metrics.csv, ranks.h5
     results/{dataset}/metrics.csv, differences.csv
"""


rule evaluate:
    input:
        similarity="results/{dataset}/{variant}/fold{fold}/similarity.h5",
    output:
        metrics="results/{dataset}/{variant}/fold{fold}/metrics.csv",
        ranks="results/{dataset}/{variant}/fold{fold}/ranks.h5",
    log:
        "logs/evaluate/{dataset}/{variant}/fold{fold}.log",
    benchmark:
        "benchmarks/evaluate/{dataset}/{variant}/fold{fold}.tsv"
    conda:
        "../../environment.yml"
    threads: 4
    resources:
        mem="4GB",
        runtime="30m",
    params:
        flags=evaluate_flags,
        code_version=CODE_VERSION["evaluate"],
    shell:
        "python -m galr evaluate"
        " --similarity {input.similarity:q}"
        " --output {output.metrics:q}"
        " --ranks {output.ranks:q}"
        " --threads {threads}"
        " {params.flags}"
        " > {log:q} 2>&1"


rule aggregate:
    input:
        ranks=all_folds("ranks.h5"),
    output:
        metrics=report(
            "results/{dataset}/metrics.csv",
            caption="../report/metrics.rst",
            category="Retrieval",
            labels={"dataset": "{dataset}", "exhibit": "table"},
        ),
        differences=report(
            "results/{dataset}/differences.csv",
            caption="../report/differences.rst",
            category="Retrieval",
            labels={"dataset": "{dataset}", "exhibit": "differences"},
        ),
    log:
        "logs/aggregate/{dataset}.log",
    benchmark:
        "benchmarks/aggregate/{dataset}.tsv"
    conda:
        "../../environment.yml"
    params:
        flags=aggregate_flags,
        code_version=CODE_VERSION["aggregate"],
    shell:
        "python -m galr aggregate"
        " --ranks {input.ranks:q}"
        " --output {output.metrics:q}"
        " --differences {output.differences:q}"
        " {params.flags}"
        " 2> {log:q}"
