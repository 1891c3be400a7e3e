"""What the program says about itself: metrics, logs, traces, memory."""
