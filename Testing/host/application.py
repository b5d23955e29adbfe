"""The application object (``slicer.app``) and the scene with its logics."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from types import SimpleNamespace
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from Testing.host.shim.rules import native

_REQUESTS_EVERY_MS = 20


@native
class qSlicerApplication(QtWidgets.QApplication):
    """What scripts ask of ``slicer.app``."""

    mrmlSceneChanged = QtCore.Signal(object)
    startupCompleted = QtCore.Signal()

    def __init__(self, startup: dict[str, str], home: str, testing: bool) -> None:
        super().__init__(["Slicer"])
        self._startup, self._home, self._testing = startup, home, testing
        self._temporary = os.path.join(home, "temp")
        self._exit_code: int | None = None
        os.makedirs(self._temporary, exist_ok=True)
        self._settings = QtCore.QSettings()
        self._options = SimpleNamespace(
            runPythonAndExit=False, isTestingEnabled=testing, noMainWindow=True, additionalModulePaths=()
        )
        self._io = self._module_manager = self._layout = self._logic = None

    applicationName = "Slicer"
    applicationDisplayName = "Slicer test host"
    organizationName = "KneePipeline tests"
    majorVersion = property(lambda self: _core_version()[0])
    minorVersion = property(lambda self: _core_version()[1])
    applicationVersion = property(lambda self: ".".join(map(str, _core_version())))
    mainApplicationName = "Slicer"
    mainApplicationMajorVersion = majorVersion
    mainApplicationMinorVersion = minorVersion
    mainApplicationVersion = applicationVersion
    revision = "host"
    repositoryRevision = "host"
    isInstalled = True
    isRelease = True
    slicerHome = property(lambda self: self._home)
    slicerSharePath = "share"
    os = {"Linux": "linux", "Darwin": "macosx", "Windows": "win"}.get(platform.system(), "linux")
    arch = "amd64"
    platform = property(lambda self: f"{self.os}-{self.arch}")
    launcherExecutableFilePath = property(lambda self: "")
    slicerUserSettingsFilePath = property(lambda self: self._settings.fileName())
    defaultScenePath = property(lambda self: self._home)
    extensionsInstallPath = property(lambda self: f"{self._home}/extensions")
    documentationBaseUrl = "https://slicer.readthedocs.io"

    def _get_temporary(self) -> str:
        return self._temporary

    def _set_temporary(self, path: str) -> None:
        self._temporary = path
        self._logic.SetTemporaryPath(path)

    temporaryPath = property(_get_temporary, _set_temporary)

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        """The environment from before the application changed anything."""
        return _process_environment(self._startup)

    def environment(self) -> QtCore.QProcessEnvironment:
        return _process_environment(dict(os.environ))

    def userSettings(self) -> QtCore.QSettings:
        return self._settings

    def settings(self) -> QtCore.QSettings:
        return self._settings

    def testingEnabled(self) -> bool:
        return self._testing

    def commandOptions(self) -> SimpleNamespace:
        return self._options

    def coreIOManager(self) -> Any:
        return self._io

    def ioManager(self) -> Any:
        return self._io

    def moduleManager(self) -> Any:
        return self._module_manager

    def layoutManager(self) -> Any:
        return self._layout

    def applicationLogic(self) -> Any:
        return self._logic

    def mrmlScene(self) -> Any:
        return slicer.mrmlScene

    def pythonConsole(self) -> None:
        return None

    def extensionsManagerModel(self) -> None:
        return None

    def pauseRender(self) -> None:
        self._logic.PauseRender()

    def resumeRender(self) -> None:
        self._logic.ResumeRender()

    @staticmethod
    def processEvents(*arguments: Any) -> None:
        """Qt's events and the queues of the application logic, as one turn of Slicer's event loop."""
        QtCore.QCoreApplication.processEvents(*arguments)
        slicer.app._process_requests()

    def _process_requests(self) -> None:
        """What other threads, those of command-line modules above all, have asked the main thread to do."""
        self._logic.ProcessModified()
        self._logic.ProcessReadData()
        self._logic.ProcessWriteData()

    def exit(self, status: int = 0) -> None:
        """Asks to leave; the launcher reads the status, an event loop that runs is ended."""
        self._exit_code = status
        QtCore.QCoreApplication.exit(status)

    def quit(self) -> None:
        self.exit(0)


def _core_version() -> tuple[int, int, int]:
    """Slicer's version as the wheel's own version says it: 5.11.0.6 -> 5.11.0, 5.13.31053.0 -> 5.13.0."""
    from importlib import metadata

    major, minor, patch = (int(part) for part in metadata.version("slicer-core").split(".")[:3])
    return major, minor, patch if patch < 100 else 0


def _process_environment(variables: dict[str, str]) -> QtCore.QProcessEnvironment:
    environment = QtCore.QProcessEnvironment()
    for name, value in variables.items():
        environment.insert(name, value)
    return environment


def start(startup: dict[str, str], *, home: str, testing: bool, main_window: bool) -> qSlicerApplication:
    """Make the application, the scene and its logics, and hang them where Slicer's Python looks for them."""
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, home)
    QtCore.QCoreApplication.setOrganizationName("SlicerHost")
    QtCore.QCoreApplication.setApplicationName("Slicer")
    app = qSlicerApplication(startup, home, testing)
    app.setQuitOnLastWindowClosed(False)

    from Testing.host import desktop, io_manager, logics, module_manager, subject_hierarchy
    from Testing.host.doubles.dicom_database import DicomDatabase
    from Testing.host.layout import LayoutManager
    from Testing.host.shim import mrml_widgets

    slicer.app = app
    slicer.mrmlScene = slicer.vtkMRMLScene()
    app._logic = logics.make_application_logic(slicer.mrmlScene, home)
    app._module_manager = module_manager.ModuleManager(app._logic)
    app._io = io_manager.CoreIOManager(slicer.mrmlScene, app._logic)
    slicer.modules = app._module_manager.modules
    slicer.selfTests = {}
    slicer.dicomDatabase = DicomDatabase()
    slicer.qSlicerScriptedLoadableModule = module_manager.ScriptedModule
    slicer.qSlicerScriptedLoadableModuleWidget = module_manager.ScriptedModuleWidget
    slicer.qSlicerApplication = qSlicerApplication
    logics.make_module_logics(app._module_manager)
    subject_hierarchy.keep(slicer.mrmlScene)
    app._layout = LayoutManager(slicer.mrmlScene, app._logic)
    for name, cls in mrml_widgets.CLASSES.items():
        setattr(slicer, name, cls)
    desktop.install(app)
    if main_window:
        desktop.make_main_window(app)
    app._requests = QtCore.QTimer()
    app._requests.connect("timeout()", app._process_requests)
    app._requests.start(_REQUESTS_EVERY_MS)
    _close_cleanly(app)
    return app


def _close_cleanly(app: qSlicerApplication) -> None:
    """Views, modules and the processing thread go before Python does; otherwise VTK complains or the exit blocks."""
    import atexit

    def leave() -> None:
        with contextlib.suppress(RuntimeError):
            app.aboutToQuit.emit()
        for node in slicer.util.getNodesByClass("vtkMRMLCommandLineModuleNode"):
            node.Cancel()  # the exit would wait for it
        app._requests.stop()
        app._module_manager.unload_all()
        app._layout.close()
        app._logic.TerminateProcessingThread()
        sys.stdout.flush()

    atexit.register(leave)
