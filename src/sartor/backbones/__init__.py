"""Backbones: which network, one file each."""
