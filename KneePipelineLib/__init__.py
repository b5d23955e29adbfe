"""KneePipeline: from one knee MRI to labels, surfaces, cartilage thickness, T2, femoral shape and a report.

The package runs without Slicer. Importing it costs nothing: every heavy library is imported inside the function that
needs it, and only inside the private environment (see :mod:`KneePipelineLib.environment`).
"""

__version__ = "0.1.0"
