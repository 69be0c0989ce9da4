"""What a reader sees: one self-contained page, and a table for the console."""
