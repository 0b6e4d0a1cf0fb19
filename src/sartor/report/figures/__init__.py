"""The report's pictures: each a function from measured values to one SVG, in a wide and a narrow form."""
