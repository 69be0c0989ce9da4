"""
Detect the regions of every image, with a detector that is trained here or brought.

IN   config/detectors/{detector}.yaml, and the boxes it trains on or its weights
     results/{dataset}/dataset.h5, and the dataset's pictures
OUT  resources/detectors/{detector}/checkpoint.pth, ap.csv
     results/{dataset}/regions.h5
"""


rule download_detector:
    input:
        detector=ancient("config/detectors/{detector}.yaml"),  # its words may change, see params
    output:
        checkpoint="resources/detectors/{detector}/checkpoint.pth",
    log:
        "logs/download_detector/{detector}.log",
    wildcard_constraints:
        detector=names_where(DETECTORS, is_published),
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mirror=config["mirror"] or "none",  # where, not what: another folder fetches nothing anew
    params:
        source=weights_source_of,
    shell:
        "python -m galr download-detector"
        " --detector {input.detector:q}"
        " --mirror {resources.mirror:q}"
        " --sums resources/detectors/{wildcards.detector}/SHA256SUMS"
        " --output {output.checkpoint:q}"
        " 2> {log:q}"


rule train_detector:
    input:
        detector="config/detectors/{detector}.yaml",
        folder=folder_of_boxes,
    output:
        checkpoint="resources/detectors/{detector}/checkpoint.pth",
        table=report(
            "resources/detectors/{detector}/ap.csv",
            caption="../report/ap.rst",
            category="Regions",
            labels={"detector": "{detector}", "exhibit": "average precision"},
        ),
    log:
        "logs/train_detector/{detector}.log",
    benchmark:
        "benchmarks/train_detector/{detector}.tsv"
    wildcard_constraints:
        detector=names_where(DETECTORS, is_trained),
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=1,
        device="auto",
        mem="8GB",
        runtime="4h",
    params:
        recipe=RECIPE["train_detector"],
    shell:
        "python -m galr train-detector"
        " --detector {input.detector:q}"
        " --folder {input.folder:q}"
        " --checkpoint {output.checkpoint:q}"
        " --table {output.table:q}"
        " --device {resources.device:q}"
        " --threads {threads}"
        " > {log:q} 2>&1"


rule regions:
    input:
        dataset="results/{dataset}/dataset.h5",
        folder=folder_of_dataset,
        detector=f"config/detectors/{DETECTOR.name}.yaml",
        checkpoint=weights_of(DETECTOR),
    output:
        regions="results/{dataset}/regions.h5",
    log:
        "logs/regions/{dataset}.log",
    benchmark:
        "benchmarks/regions/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=1,
        device="auto",
        mem="8GB",
        runtime="4h",
    params:
        recipe=RECIPE["regions"],
    shell:
        "python -m galr regions"
        " --dataset {input.dataset:q}"
        " --folder {input.folder:q}"
        " --detector {input.detector:q}"
        " --checkpoint {input.checkpoint:q}"
        " --output {output.regions:q}"
        " --device {resources.device:q}"
        " --threads {threads}"
        " > {log:q} 2>&1"
