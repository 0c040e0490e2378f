"""Charts and pictures drawn by matplotlib in a common style, as PNG files and as SVG for web pages.

`style` defines the colors and writes the files, `canvas` places elements by pixel. The other modules draw one kind of
picture each: `lines`, `scores`, `confusion`, `panels`, `class_shares` and `contact`.
"""
