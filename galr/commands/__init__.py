"""One file a rule: open, call, write. A stage has `Flags` and `run(flags)`, and no arithmetic."""
