"""
DREA: turn the regions of each image into a representation and an adjacency matrix.

IN   results/{dataset}/regions.h5
OUT  results/{dataset}/graphs.h5
"""


rule graphs:
    input:
        regions="results/{dataset}/regions.h5",
    output:
        graphs="results/{dataset}/graphs.h5",
    log:
        "logs/graphs/{dataset}.log",
    benchmark:
        "benchmarks/graphs/{dataset}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem="2GB",
        runtime="30m",
    params:
        flags=as_flags(config["graphs"]),
        recipe=RECIPE["graphs"],
    shell:
        "python -m galr graphs"
        " --regions {input.regions:q}"
        " --output {output.graphs:q}"
        " {params.flags}"
        " 2> {log:q}"
