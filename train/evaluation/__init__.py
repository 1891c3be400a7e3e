"""Parts of evaluation, one job each."""
