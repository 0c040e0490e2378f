"""A package of somebody else with a method, a teacher family, a codec and a protocol."""
