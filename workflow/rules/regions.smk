"""
Detect the regions of every image with a detector that is trained or downloaded, propose them without one, or import
the boxes of another tool.

IN   config/detectors/{detector}.yaml, and the boxes it is trained on, its weights, or precomputed boxes
     results/{dataset}/dataset.h5, and the dataset's images
OUT  resources/detectors/{detector}/archives/{archive}, SHA256SUMS, files/
     resources/detectors/{detector}/checkpoint.pth, ap.csv
     results/{dataset}/regions.h5
"""


rule download_detector:
    input:
        detector=ancient("config/detectors/{detector}.yaml"),  # its text may change, see params
    output:
        checkpoint="resources/detectors/{detector}/checkpoint.pth",
    log:
        "logs/download_detector/{detector}.log",
    wildcard_constraints:
        detector=matching_names(DETECTORS, downloads_weights),
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mirror=config["mirror"] or "none",  # another folder downloads nothing again
    params:
        source=weights_source,
    shell:
        "python -m galr download-detector"
        " --detector {input.detector:q}"
        " --mirror {resources.mirror:q}"
        " --sums resources/detectors/{wildcards.detector:q}/SHA256SUMS"
        " --output {output.checkpoint:q}"
        " 2> {log:q}"


rule download_boxes:
    input:
        detector=ancient("config/detectors/{detector}.yaml"),
    output:
        archive="resources/detectors/{detector}/archives/{archive}",
    log:
        "logs/download_boxes/{detector}/{archive}.log",
    wildcard_constraints:
        detector=matching_names(DETECTORS, trains_on_archives),
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mirror=config["mirror"] or "none",
    params:
        source=boxes_source,
    shell:
        "python -m galr download-detector"
        " --detector {input.detector:q}"
        " --archive {wildcards.archive:q}"
        " --mirror {resources.mirror:q}"
        " --sums resources/detectors/{wildcards.detector:q}/SHA256SUMS"
        " --output {output.archive:q}"
        " 2> {log:q}"


use rule extract as extract_boxes with:
    input:
        archives=archives_of_boxes,
    output:
        folder=directory("resources/detectors/{detector}/files"),
    log:
        "logs/extract_boxes/{detector}.log",
    benchmark:
        "benchmarks/extract_boxes/{detector}.tsv"
    wildcard_constraints:
        detector=matching_names(DETECTORS, trains_on_archives),


rule tile_dota:
    input:
        folder=dota_folder_of,
    output:
        folder=directory("resources/detectors/{detector}/files"),
    log:
        "logs/tile_dota/{detector}.log",
    benchmark:
        "benchmarks/tile_dota/{detector}.tsv"
    wildcard_constraints:
        detector=matching_names(DETECTORS, trains_on_dota),
    conda:
        "../../environment.yml"
    resources:
        mem="4GB",
        runtime="4h",
    params:
        flags=dota_flags,
        files=own_boxes,
        code_version=CODE_VERSION["tile_dota"],
    shell:
        "python -m galr tile-dota"
        " --folder {input.folder:q}"
        " --output {output.folder:q}"
        " {params.flags}"
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
        detector=matching_names(DETECTORS, is_trained),
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=1,
        device="auto",
        mem="8GB",
        runtime="4h",
    params:
        files=own_boxes,
        code_version=CODE_VERSION["train_detector"],
    shell:
        "python -m galr train-detector"
        " --detector {input.detector:q}"
        " --folder {input.folder:q}"
        " --checkpoint {output.checkpoint:q}"
        " --table {output.table:q}"
        " --device {resources.device:q}"
        " --threads {threads}"
        " > {log:q} 2>&1"


if runs_network(DETECTOR):

    rule regions:
        input:
            dataset="results/{dataset}/dataset.h5",
            folder=folder_of_dataset,
            detector=f"config/detectors/{DETECTOR.name}.yaml",
            checkpoint=weights,
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
            code_version=CODE_VERSION["regions"],
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

elif makes_proposals(DETECTOR):

    rule propose_regions:
        input:
            dataset="results/{dataset}/dataset.h5",
            folder=folder_of_dataset,
            detector=f"config/detectors/{DETECTOR.name}.yaml",
        output:
            regions="results/{dataset}/regions.h5",
        log:
            "logs/propose_regions/{dataset}.log",
        benchmark:
            "benchmarks/propose_regions/{dataset}.tsv"
        conda:
            "../../environment.yml"
        threads: 8
        resources:
            mem="4GB",
            runtime="4h",
        params:
            code_version=CODE_VERSION["propose_regions"],
        shell:
            "python -m galr regions"
            " --dataset {input.dataset:q}"
            " --folder {input.folder:q}"
            " --detector {input.detector:q}"
            " --output {output.regions:q}"
            " --threads {threads}"
            " > {log:q} 2>&1"

else:

    rule import_regions:
        input:
            dataset="results/{dataset}/dataset.h5",
            detector=f"config/detectors/{DETECTOR.name}.yaml",
            results=precomputed_boxes_of,
        output:
            regions="results/{dataset}/regions.h5",
        log:
            "logs/import_regions/{dataset}.log",
        conda:
            "../../environment.yml"
        resources:
            mem="4GB",
            runtime="30m",
        params:
            flags=precomputed_boxes_flags,
            code_version=CODE_VERSION["import_regions"],
        shell:
            "python -m galr import-regions"
            " --dataset {input.dataset:q}"
            " --results {input.results[0]:q}"
            " --output {output.regions:q}"
            " {params.flags}"
            " 2> {log:q}"
