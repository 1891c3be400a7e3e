"""What warm-up and CoT-LoRA share: the model in training, its data, and the run."""
