"""Objectives: what the gradient descends, one file each."""
