"""The parts of `realtime train evaluate`, and checks of a model's answers that run on their own."""
