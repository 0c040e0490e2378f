"""Frozen models behind one small interface: load them, name them, and turn views into tokens."""
