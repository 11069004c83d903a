"""What a user calls: one module a resource, thin."""
