"""One module a command: it parses, opens, calls and writes, and computes nothing.

Each has `Options` and `run(options)`.
"""
