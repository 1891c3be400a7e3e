"""The expert on words, and what is believed of a recogniser."""
