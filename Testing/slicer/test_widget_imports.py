"""What loading the module costs: nothing beyond Slicer, the standard library, NumPy, VTK and SimpleITK is imported."""

from __future__ import annotations

import ast
import subprocess
import sys
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "KneePipeline" / "KneePipeline.py"
ALLOWED = {"slicer", "qt", "ctk", "vtk", "vtkmodules", "numpy", "SimpleITK", "KneePipelineLib", "SampleData",
           "DICOMLib", "sitkUtils"}
ONLY_INSIDE_FUNCTIONS = {"pydicom"}
"""Slicer has it, but it takes time to import."""

IMPORT_AND_SHOW = '''
import sys
sys.path.insert(0, sys.argv[1])
try:
    import slicer
    slicer.app
except (ImportError, AttributeError):
    from Testing import host
    host.start()
import slicer, vtk, numpy, SimpleITK
import slicer.parameterNodeWrapper, slicer.ScriptedLoadableModule

allowed = set(sys.argv[3].split(",")) | set(sys.stdlib_module_names) | {"Testing", "shiboken6", "PySide6"}
class Watch:
    """Refuses everything that Slicer does not come with."""
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed and name.partition(".")[0] not in known:
            raise AssertionError(f"{name} was imported")
known = {name.partition(".")[0] for name in sys.modules}
sys.meta_path.insert(0, Watch())
from pathlib import Path
slicer.app.moduleManager().load_folder(Path(sys.argv[2]).parent)
after_loading = set(sys.modules)
heavy = {"SimpleITK", "torch", "scipy"} & (after_loading - known)
assert not heavy, heavy
slicer.util.getModuleWidget("KneePipeline").enter()
print("LOADED")
'''


class Imports(unittest.TestCase):
    def test_the_module_imports_nothing_of_third_parties(self):
        if not (REPOSITORY / "Testing" / "host").is_dir():
            self.skipTest("inside Slicer everything is loaded already")
        done = subprocess.run([sys.executable, "-c", IMPORT_AND_SHOW, str(REPOSITORY), str(MODULE),
                               ",".join(sorted(ALLOWED))], capture_output=True, text=True, check=False, timeout=600)
        self.assertIn("LOADED", done.stdout, done.stderr[-3000:])

    def test_files_of_the_slicer_side_name_only_what_slicer_has(self):
        files = [MODULE, *sorted((REPOSITORY / "KneePipelineLib" / "slicer_side").rglob("*.py"))]
        self.assertGreater(len(files), 30)
        allowed = ALLOWED | set(sys.stdlib_module_names)
        within = allowed | ONLY_INSIDE_FUNCTIONS
        for path in files:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                    [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                possible = allowed if node in tree.body else within
                foreign = [name for name in names if name.partition(".")[0] not in possible]
                self.assertEqual(foreign, [], f"{path.name} imports {foreign}")


if __name__ == "__main__":
    unittest.main()
