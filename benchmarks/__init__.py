"""What the client costs, and whether it keeps to the limit: `python -m benchmarks`."""
