"""Qt, CTK and Slicer's widgets on PySide6, behaving as PythonQt shows them to Slicer's Python code."""
