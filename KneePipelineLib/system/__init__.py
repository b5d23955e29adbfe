"""What every room asks of the operating system: whole-or-nothing writes, locks, and processes that end for certain.

Standard library only, Python 3.10 and later, Linux, macOS and Windows: Slicer's Python and the guard that outlives a
killed Set up stand on it, before anything is installed.
"""
