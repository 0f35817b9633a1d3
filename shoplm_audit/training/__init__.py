"""What writes checkpoints: corpora, tokenizers, plain and differentially private training."""
