"""Baselines: what a large model must beat, one file each."""
