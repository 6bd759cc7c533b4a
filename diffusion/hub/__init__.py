"""The Hub: pushing a run, and its model card."""
