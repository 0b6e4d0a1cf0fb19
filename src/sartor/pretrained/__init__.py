"""Pretrained models: a folder in the ecosystem's layout -> a body, through one gate."""
