"""Delivery of stored items: when to hold them, when to retry one."""
