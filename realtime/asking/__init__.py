"""What a person may ask: a question, labels of their own, and what neither may be about."""
