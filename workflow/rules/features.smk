"""
Compute what frozen encoders say of every image and sentence, once for all variants and folds that share them.

IN   results/{dataset}/dataset.h5
OUT  results/{dataset}/features/{encoder}.h5
"""


rule features:
    input:
        dataset="results/{dataset}/dataset.h5",
        weights=weights_of_encoder,
    output:
        features="results/{dataset}/features/{encoder}.h5",
    log:
        "logs/features/{dataset}/{encoder}.log",
    benchmark:
        "benchmarks/features/{dataset}/{encoder}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=1,
        device="auto",
        mem="8GB",
        runtime="4h",
    params:
        flags=encoder_flags,
        code_version=CODE_VERSION["features"],
    shell:
        "python -m galr features"
        " --dataset {input.dataset:q}"
        " --output {output.features:q}"
        " --device {resources.device:q}"
        " --threads {threads}"
        " {params.flags}"
        " > {log:q} 2>&1"
