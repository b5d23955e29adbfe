"""Pictures for the report, computed without a screen, without OpenGL and without a font.

Raster parts are PNG inside inline SVG, so letters, scale bars and axes stay text: sharp on paper and readable by a
screen reader.
"""
