"""What each step does: small functions that call the rooms and leave files. Imported only by the worker."""
