"""One training over many processes, GPUs and nodes."""
