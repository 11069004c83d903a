"""Input and output files: `tables` reads rows, `mapping` makes leads, `sheets` writes results."""
