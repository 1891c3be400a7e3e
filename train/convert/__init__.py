"""Makes the data folder (`train/DATA.md`) from the official downloads of published sets."""
