"""The stages that make nano, the embedded checkpoint, from real faces and voices."""
