"""The room io."""
