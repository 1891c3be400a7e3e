"""Runs the towers and selectors: the static graphs, and one module per runtime, imported only when it is chosen."""
