"""The training path: data, annotation, towers, experts, selectors, Chain-of-Emotion-Thought tuning, evaluation."""

from realtime.commands.extras import explain_missing

explain_missing()
