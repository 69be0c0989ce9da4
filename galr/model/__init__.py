"""The model of the paper, one module a box of its figure."""
