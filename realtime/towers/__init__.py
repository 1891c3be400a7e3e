"""What runs the towers and selectors: the static graphs, and one module per engine, imported only when it is chosen."""
