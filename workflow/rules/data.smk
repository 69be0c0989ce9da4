"""
From a dataset file to one verified HDF5 file.

IN   config/datasets/{dataset}.yaml, and what it points at
OUT  resources/{dataset}/archives/{archive}, resources/{dataset}/SHA256SUMS
     resources/{dataset}/files/
     resources/{dataset}/unpacked/, of Parquet tables and tar shards
     results/{dataset}/dataset.h5, results/{dataset}/data_report.csv
     results/{dataset}/files.csv, for a folder of the user's own; it outlives dataset.h5, so it is no output
"""


rule download:
    input:
        dataset=ancient("config/datasets/{dataset}.yaml"),  # its text may change, see params
    output:
        archive="resources/{dataset}/archives/{archive}",
    log:
        "logs/download/{dataset}/{archive}.log",
    localrule: True
    conda:
        "../../environment.yml"
    resources:
        mirror=config["mirror"] or "none",  # another folder downloads nothing again
    params:
        source=archive_source,
    shell:
        "python -m galr download"
        " --dataset {input.dataset:q}"
        " --archive {wildcards.archive:q}"
        " --sums resources/{wildcards.dataset:q}/SHA256SUMS"
        " --output {output.archive:q}"
        " --mirror {resources.mirror:q}"
        " 2> {log:q}"


rule extract:
    input:
        archives=archives_of,
    output:
        folder=directory("resources/{dataset}/files"),
    log:
        "logs/extract/{dataset}.log",
    benchmark:
        "benchmarks/extract/{dataset}.tsv"
    wildcard_constraints:
        dataset=matching_names(DATASETS, has_archives),
    conda:
        "../../environment.yml"
    params:
        limit=as_flag("--unpack-limit-gb", config["data"]["unpack_limit_gb"]),
    shell:
        "python -m galr extract"
        " --archives {input.archives:q}"
        " --output {output.folder:q}"
        " {params.limit}"
        " 2> {log:q}"


rule draw:
    output:
        folder=directory("resources/{dataset}/files"),
    log:
        "logs/draw/{dataset}.log",
    benchmark:
        "benchmarks/draw/{dataset}.tsv"
    wildcard_constraints:
        dataset=matching_names(DATASETS, is_synthetic),
    conda:
        "../../environment.yml"
    threads: 8
    params:
        flags=draw_flags,
        code_version=CODE_VERSION["draw"],
    shell:
        "python -m galr draw"
        " --output {output.folder:q}"
        " --threads {threads}"
        " {params.flags}"
        " 2> {log:q}"


rule unpack:
    input:
        dataset=ancient("config/datasets/{dataset}.yaml"),  # its text may change, see params
        folder=packed_folder,
    output:
        folder=directory("resources/{dataset}/unpacked"),
    log:
        "logs/unpack/{dataset}.log",
    benchmark:
        "benchmarks/unpack/{dataset}.tsv"
    wildcard_constraints:
        dataset=matching_names(DATASETS, is_packed),
    conda:
        "../../environment.yml"
    params:
        limit=as_flag("--unpack-limit-gb", config["data"]["unpack_limit_gb"]),
        listing=listing_flag,
        files=own_files,  # a hash: whatever changes in a folder of the user's own re-runs this
        source=packed_source,
        code_version=CODE_VERSION["unpack"],
    shell:
        "python -m galr unpack"
        " --dataset {input.dataset:q}"
        " --folder {input.folder:q}"
        " --output {output.folder:q}"
        " {params.listing}"
        " {params.limit}"
        " 2> {log:q}"


rule data:
    input:
        dataset="config/datasets/{dataset}.yaml",
        folder=folder_of_dataset,
    output:
        dataset="results/{dataset}/dataset.h5",
        report=report(
            "results/{dataset}/data_report.csv",
            caption="../report/data_report.rst",
            category="Data",
            labels={"dataset": "{dataset}", "exhibit": "dropped items"},
        ),
    log:
        "logs/data/{dataset}.log",
    benchmark:
        "benchmarks/data/{dataset}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem="2GB",
        runtime="1h",
    params:
        flags=data_flags,
        listing=in_place_listing_flag,
        files=own_files,  # a hash: whatever changes in a folder of the user's own re-runs this
        code_version=CODE_VERSION["data"],
    shell:
        "python -m galr data"
        " --dataset {input.dataset:q}"
        " --folder {input.folder:q}"
        " --output {output.dataset:q}"
        " --report {output.report:q}"
        " {params.listing}"
        " {params.flags}"
        " 2> {log:q}"
