"""Making models smaller: prune, distill, quantize."""
