"""The resources of a client: `lsq.leads`, `lsq.bulk`, `lsq.fields`."""
