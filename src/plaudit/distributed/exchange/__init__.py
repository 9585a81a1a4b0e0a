"""What ranks send each other: gradients at each step, whole or compressed, or weights now and then."""
