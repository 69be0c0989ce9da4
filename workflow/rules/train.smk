"""
Draw the folds, then fit each variant on each.

IN   results/{dataset}/dataset.h5, results/{dataset}/{variant}/graphs.h5
OUT  results/{dataset}/folds.csv
     results/{dataset}/{variant}/fold{fold}/checkpoint.pt, history.csv

A training that was killed continues from resume.pt, which is deleted when it is done.
That file, run.json (settings, versions, hashes) and events/ (for TensorBoard) outlive a failed job, so they are no outputs.
"""


rule folds:
    input:
        dataset="results/{dataset}/dataset.h5",
    output:
        folds="results/{dataset}/folds.csv",
    log:
        "logs/folds/{dataset}.log",
    benchmark:
        "benchmarks/folds/{dataset}.tsv"
    conda:
        "../../environment.yml"
    params:
        flags=fold_flags,
        code_version=CODE_VERSION["folds"],
    shell:
        "python -m galr folds"
        " --dataset {input.dataset:q}"
        " --output {output.folds:q}"
        " {params.flags}"
        " 2> {log:q}"


rule train:
    input:
        dataset="results/{dataset}/dataset.h5",
        graphs=graphs_of,
        image_features=features_of("image"),
        text_features=features_of("text"),
        folds="results/{dataset}/folds.csv",
        weights=weights_of,
    output:
        checkpoint="results/{dataset}/{variant}/fold{fold}/checkpoint.pt",
        history=report(
            "results/{dataset}/{variant}/fold{fold}/history.csv",
            caption="../report/history.rst",
            category="Training",
            labels={"dataset": "{dataset}", "variant": "{variant}", "fold": "{fold}"},
        ),
    log:
        "logs/train/{dataset}/{variant}/fold{fold}.log",
    benchmark:
        "benchmarks/train/{dataset}/{variant}/fold{fold}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=1,
        processes=1,
        device="auto",
        mem="16GB",
        runtime="12h",
    params:
        graphs=graphs_flag,
        features=features_flags,
        record="results/{dataset}/{variant}/fold{fold}/run.json",
        events="results/{dataset}/{variant}/fold{fold}/events",
        flags=train_flags,
        code_version=CODE_VERSION["train"],
    shell:
        "python -m galr train"
        " --dataset {input.dataset:q}"
        " --folds {input.folds:q}"
        " --variant {wildcards.variant:q}"
        " --fold {wildcards.fold}"
        " --checkpoint {output.checkpoint:q}"
        " --history {output.history:q}"
        " --record {params.record:q}"
        " --events {params.events:q}"
        " --device {resources.device:q}"
        " --processes {resources.processes}"
        " --threads {threads}"
        " {params.graphs}"
        " {params.features}"
        " {params.flags}"
        " > {log:q} 2>&1"
