"""The training path: data, annotation, towers, experts, selectors, Chain-of-Emotion-Thought tuning, evaluation."""
