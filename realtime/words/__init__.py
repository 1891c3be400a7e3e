"""What is said, written down: a recogniser, what it is not believed, and the process that it runs in."""
