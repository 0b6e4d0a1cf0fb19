"""Position: which candidate fits, by measurement."""
