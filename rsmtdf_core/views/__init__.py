"""Views of scenes: the plan with its explicit parameters, and the functions that render it."""
