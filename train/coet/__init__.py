"""Chain-of-Emotion-Thought annotation: from what was measured to what a careful observer would write."""
