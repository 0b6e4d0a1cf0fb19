"""Classical models: what the baselines are made of; no network, no torch."""
