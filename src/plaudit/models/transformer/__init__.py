"""The transformer: a pretrained encoder, fine-tuned to classify."""
