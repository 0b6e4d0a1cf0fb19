"""The engine: the one training loop, the one ruler."""
