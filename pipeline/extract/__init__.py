"""Stage one: teachers run once over every view, and their tokens go into stores."""
