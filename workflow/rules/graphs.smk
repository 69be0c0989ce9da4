"""
DREA: turn the regions of each image into a representation and an adjacency matrix, by the settings of each variant.

IN   results/{dataset}/regions.h5, or the authors' own matrices
OUT  results/{dataset}/{variant}/graphs.h5
"""


rule graphs:
    input:
        regions="results/{dataset}/regions.h5",
    output:
        graphs="results/{dataset}/{variant}/graphs.h5",
    log:
        "logs/graphs/{dataset}/{variant}.log",
    benchmark:
        "benchmarks/graphs/{dataset}/{variant}.tsv"
    wildcard_constraints:
        variant=matching_names(VARIANTS, computes_graphs),
    conda:
        "../../environment.yml"
    resources:
        mem="2GB",
        runtime="30m",
    params:
        flags=drea_flags,
        code_version=CODE_VERSION["graphs"],
    shell:
        "python -m galr graphs"
        " --regions {input.regions:q}"
        " --output {output.graphs:q}"
        " {params.flags}"
        " 2> {log:q}"


rule import_graphs:
    input:
        dataset="results/{dataset}/dataset.h5",
        folder=published_graphs_of,
    output:
        graphs="results/{dataset}/{variant}/graphs.h5",
        summary=report(
            "results/{dataset}/{variant}/graphs.txt",
            caption="../report/graphs.rst",
            category="Regions",
            labels={"dataset": "{dataset}", "exhibit": "published matrices"},
        ),
    log:
        "logs/import_graphs/{dataset}/{variant}.log",
    wildcard_constraints:
        variant=matching_names(VARIANTS, imports_graphs),
    conda:
        "../../environment.yml"
    resources:
        mem="2GB",
        runtime="30m",
    params:
        files=published_files,
        code_version=CODE_VERSION["import_graphs"],
    shell:
        "python -m galr import-graphs"
        " --dataset {input.dataset:q}"
        " --folder {input.folder:q}"
        " --output {output.graphs:q}"
        " --summary {output.summary:q}"
        " 2> {log:q}"
