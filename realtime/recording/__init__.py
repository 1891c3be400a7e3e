"""Recording: what `--record DIR` keeps of sessions whose owner agreed, encrypted and for a limited time."""
