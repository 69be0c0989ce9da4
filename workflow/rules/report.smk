"""
Write one page with all results.

IN   what the other rules wrote
OUT  results/{dataset}/report.html
"""


rule report:
    input:
        metrics="results/{dataset}/metrics.csv",
        differences="results/{dataset}/differences.csv",
        dataset="results/{dataset}/dataset.h5",
        data_report="results/{dataset}/data_report.csv",
        regions="results/{dataset}/regions.h5",
        graphs=all_graphs,
        histories=all_folds("history.csv"),
        similarities=all_folds("similarity.h5"),
    output:
        report=report(
            "results/{dataset}/report.html",
            caption="../report/report.rst",
            category="Retrieval",
            labels={"dataset": "{dataset}", "exhibit": "report"},
        ),
    log:
        "logs/report/{dataset}.log",
    benchmark:
        "benchmarks/report/{dataset}.tsv"
    conda:
        "../../environment.yml"
    params:
        graphs=all_graphs_flag,
        flags=as_flags(config["report"]),
        code_version=CODE_VERSION["report"],
    shell:
        "python -m galr report"
        " --metrics {input.metrics:q}"
        " --differences {input.differences:q}"
        " --dataset {input.dataset:q}"
        " --data-report {input.data_report:q}"
        " --regions {input.regions:q}"
        " --histories {input.histories:q}"
        " --similarities {input.similarities:q}"
        " --output {output.report:q}"
        " {params.graphs}"
        " {params.flags}"
        " > {log:q} 2>&1"
