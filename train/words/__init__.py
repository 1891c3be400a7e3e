"""What is believed of a recogniser."""
