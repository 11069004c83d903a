"""The client in other frameworks; each needs the extra of its name."""
