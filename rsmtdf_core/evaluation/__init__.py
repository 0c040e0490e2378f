"""From predictions to scores, tables and pictures, under one named protocol."""
