"""What leaves a session: the events of the wire and the log that keeps them."""
