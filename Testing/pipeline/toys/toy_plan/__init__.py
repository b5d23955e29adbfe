"""A plan of toy steps, importable by the worker, for tests of the orchestrator that need no knee."""
