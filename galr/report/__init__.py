"""The report: one self-contained HTML page, and a table for the console."""
