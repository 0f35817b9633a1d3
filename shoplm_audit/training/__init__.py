"""What writes checkpoints: from scratch, fine-tuned, or differentially private."""
