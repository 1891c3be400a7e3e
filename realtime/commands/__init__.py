"""The commands behind `realtime`: analyze, watch, doctor, config."""
