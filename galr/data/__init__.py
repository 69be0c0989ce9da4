"""The room where data enters: download, extract, read the layout, validate, decode, store."""
