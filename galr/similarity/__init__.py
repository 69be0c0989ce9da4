"""The room similarity."""
