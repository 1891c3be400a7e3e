"""The methods that a checkpoint can be of, as switches of its `emothinker.json`: what each changes in the model."""
