"""Stores as plain files elsewhere: exported to any fsspec address, imported from one."""
