"""Datasets: download, extract, read the annotations, validate, decode and store."""
