"""Candidates: recipes worth racing, as data. A YAML file is a family; dropping one in is all it takes."""
