"""CTK's widgets for files and folders."""

from __future__ import annotations

from PySide6 import QtCore, QtWidgets

from Testing.host.shim.rules import native

Property, Signal = QtCore.Property, QtCore.Signal


@native
class ctkPathLineEdit(QtWidgets.QWidget):
    """A line for a path, a button that asks for one, and a history kept in the settings."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    # ctkPathLineEdit::Filter has the values of QDir::Filter
    Dirs, Files, Drives, NoSymLinks = 0x1, 0x2, 0x4, 0x8
    Readable, Writable, Executable, Hidden = 0x10, 0x20, 0x40, 0x100
    NoDot, NoDotDot, NoDotAndDotDot = 0x2000, 0x4000, 0x6000

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._filters = self.Files | self.Dirs
        self._name_filters: list[str] = []
        self._setting_key = ""
        self._label = ""
        self._history: list[str] = []
        self._line = QtWidgets.QLineEdit(self)
        self._button = QtWidgets.QToolButton(self)
        self._button.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        layout.addWidget(self._button)
        self._line.connect("textChanged(QString)", lambda text: self.currentPathChanged.emit(text))
        self._button.connect("clicked()", self.browse)

    def setCurrentPath(self, path: str) -> None:
        self._line.setText(path)

    def browse(self) -> None:
        """Ask for a path with the dialog that the filters call for."""
        folders_only = not self._filters & self.Files
        dialog = QtWidgets.QFileDialog
        if folders_only:
            path = dialog.getExistingDirectory(self, self._label, self.currentPath)
        elif self._filters & self.Writable and not self._filters & self.Readable:
            path = dialog.getSaveFileName(self, self._label, self.currentPath, ";;".join(self._name_filters))[0]
        else:
            path = dialog.getOpenFileName(self, self._label, self.currentPath, ";;".join(self._name_filters))[0]
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self) -> None:
        """Remember the path first of ten, under ``settingKey`` in the settings."""
        path = self.currentPath
        if not path:
            return
        self._history = [path, *(p for p in self._history if p != path)][:10]
        if self._setting_key:
            QtCore.QSettings().setValue(f"ctkPathLineEdit/{self._setting_key}", self._history)

    def history(self) -> tuple[str, ...]:
        return tuple(self._history)

    def _set_key(self, key: str) -> None:
        self._setting_key = key
        kept = QtCore.QSettings().value(f"ctkPathLineEdit/{key}") or []
        self._history = [kept] if isinstance(kept, str) else list(kept)

    currentPath = Property(str, lambda self: self._line.text, lambda self, path: self.setCurrentPath(path))
    filters = Property(int, lambda self: self._filters, lambda self, value: setattr(self, "_filters", int(value)))
    nameFilters = Property(
        "QStringList", lambda self: self._name_filters, lambda self, value: setattr(self, "_name_filters", list(value))
    )
    settingKey = Property(str, lambda self: self._setting_key, _set_key)
    label = Property(str, lambda self: self._label, lambda self, value: setattr(self, "_label", value))
    showBrowseButton = Property(
        bool, lambda self: not self._button.isHidden(), lambda self, value: self._button.setVisible(value)
    )
    showHistoryButton = Property(bool, lambda self: False, lambda self, value: None)
    sizeAdjustPolicy = Property(int, lambda self: 0, lambda self, value: None)
    minimumContentsLength = Property(int, lambda self: 0, lambda self, value: None)


@native
class ctkDirectoryButton(QtWidgets.QWidget):
    """A button that shows a folder and asks for another."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._button = QtWidgets.QPushButton(".", self)
        self._directory = "."
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._button)
        self._button.connect("clicked()", self.browse)

    def browse(self) -> None:
        path = QtWidgets.QFileDialog.getExistingDirectory(self, "", self._directory)
        if path:
            self._set(path)
            self.directorySelected.emit(path)

    def _set(self, path: str) -> None:
        path = QtCore.QDir(path).absolutePath()
        if path != QtCore.QDir(self._directory).absolutePath():
            self._directory = path
            self._button.setText(path)
            self.directoryChanged.emit(path)

    directory = Property(str, lambda self: self._directory, _set)
    text = Property(str, lambda self: self._button.text, lambda self, text: self._button.setText(text))
    caption = Property(str, lambda self: "", lambda self, text: None)
