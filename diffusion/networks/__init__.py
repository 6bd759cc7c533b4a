"""The networks: each a shape, and one forward pass."""
