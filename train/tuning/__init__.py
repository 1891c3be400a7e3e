"""What warm-up and CoT-LoRA share: the model in training, its sequences, its data, the run."""
