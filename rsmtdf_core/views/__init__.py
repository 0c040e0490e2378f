"""From scenes to views: a plan of explicit parameters, and the one way to render it."""
