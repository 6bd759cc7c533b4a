"""Training: from a config to a folder with weights."""
