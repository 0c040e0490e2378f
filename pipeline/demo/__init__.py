"""Both stages on small drawn scenes."""
