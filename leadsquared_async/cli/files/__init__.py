"""Files in and out: `tables` reads rows, `mapping` makes leads of them, `source` does both for a run."""
