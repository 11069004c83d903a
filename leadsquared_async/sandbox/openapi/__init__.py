"""The OpenAPI description of what a sandbox serves."""
