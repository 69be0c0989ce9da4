"""
Encode every image and sentence once and compute all similarities.

IN   results/{dataset}/{variant}/fold{fold}/checkpoint.pt
     results/{dataset}/dataset.h5, results/{dataset}/{variant}/graphs.h5, results/{dataset}/folds.csv
OUT  results/{dataset}/{variant}/fold{fold}/similarity.h5
"""


rule similarity:
    input:
        checkpoint="results/{dataset}/{variant}/fold{fold}/checkpoint.pt",
        dataset="results/{dataset}/dataset.h5",
        graphs=graphs_of,
        image_features=features_of("image"),
        text_features=features_of("text"),
        folds="results/{dataset}/folds.csv",
    output:
        similarity="results/{dataset}/{variant}/fold{fold}/similarity.h5",
    log:
        "logs/similarity/{dataset}/{variant}/fold{fold}.log",
    benchmark:
        "benchmarks/similarity/{dataset}/{variant}/fold{fold}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=1,
        device="auto",
        mem="8GB",
        runtime="1h",
    params:
        graphs=graphs_flag,
        features=features_flags,
        code_version=CODE_VERSION["similarity"],
    shell:
        "python -m galr similarity"
        " --checkpoint {input.checkpoint:q}"
        " --dataset {input.dataset:q}"
        " --folds {input.folds:q}"
        " --output {output.similarity:q}"
        " --device {resources.device:q}"
        " --threads {threads}"
        " {params.graphs}"
        " {params.features}"
        " 2> {log:q}"
