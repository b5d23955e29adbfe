"""The Slicer side: what drives the pipeline from inside 3D Slicer and brings its results into the scene.

Besides the module itself the only part that may import ``slicer``, ``qt`` and ``ctk``. It imports the standard
library, NumPy, VTK and SimpleITK and nothing of the private environment. Importing this package loads none of them.
"""
