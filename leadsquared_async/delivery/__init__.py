"""Delivery of items that are kept until they are delivered: when to hold them, when to retry one."""
