"""How questions are read: the wordings and the fit of `realtime/asking/kinds.json`."""
