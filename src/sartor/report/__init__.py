"""Reports: a verdict rendered for a terminal, a browser, a machine and a model hub."""
