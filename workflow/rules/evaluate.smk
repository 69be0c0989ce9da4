"""
Rank, rerank and score every fold; gather all of them into one table.

IN   results/{dataset}/{variant}/fold{fold}/similarity.h5
OUT  results/{dataset}/{variant}/fold{fold}/metrics.csv, ranks.h5
     results/{dataset}/metrics.csv
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
        recipe=RECIPE["evaluate"],
    shell:
        "python -m galr evaluate"
        " --similarity {input.similarity:q}"
        " --output {output.metrics:q}"
        " --ranks {output.ranks:q}"
        " --threads {threads}"
        " {params.flags}"
        " 2> {log:q}"


rule tabulate:
    input:
        ranks=of_every_fold("ranks.h5"),
    output:
        metrics=report(
            "results/{dataset}/metrics.csv",
            caption="../report/metrics.rst",
            category="Retrieval",
            labels={"dataset": "{dataset}", "exhibit": "table"},
        ),
    log:
        "logs/tabulate/{dataset}.log",
    benchmark:
        "benchmarks/tabulate/{dataset}.tsv"
    conda:
        "../../environment.yml"
    params:
        flags=tabulate_flags,
        recipe=RECIPE["tabulate"],
    shell:
        "python -m galr tabulate"
        " --ranks {input.ranks:q}"
        " --output {output.metrics:q}"
        " {params.flags}"
        " 2> {log:q}"
