"""Data: files, hub and frames -> rows; schema; checks; splits."""
