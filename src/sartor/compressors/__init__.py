"""Compressors: what is cut away, one file each."""
