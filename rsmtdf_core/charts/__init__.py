"""Charts and pictures, all drawn by matplotlib in one look: PNG files, and SVG for web pages.

`style` holds the inks and writes the files, `canvas` places things by pixel. The other modules each draw one kind of
picture: `lines`, `scores`, `confusion`, `panels` and `class_shares`.
"""
