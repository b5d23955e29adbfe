# Slicer writes a configuration file for extensions that build upon this one; nothing here needs it.
