"""The networks: `galr.py` is the model on one page, one file for each box of its figure (`docs/how/figure.md`)."""
