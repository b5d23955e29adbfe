"""The rules of Slicer's Qt that the host must keep; the same statements hold inside Slicer."""

from __future__ import annotations

import os
import unittest

import ctk
import qt
import slicer


class QtRules(unittest.TestCase):
    def test_properties_are_attributes(self):
        button = qt.QPushButton("Apply")
        self.assertEqual(button.text, "Apply")
        button.enabled = False
        self.assertFalse(button.isEnabled())
        button.objectName = "applyButton"
        self.assertEqual(button.name, "applyButton")

    def test_unknown_and_unfit_attributes_are_refused(self):
        button = qt.QPushButton()
        with self.assertRaises(AttributeError):
            button.enbaled = False
        with self.assertRaises(AttributeError):
            button.visible_when = 3
        with self.assertRaises(AttributeError):
            qt.QSpinBox().value = "five"

    def test_a_python_class_may_have_attributes_of_its_own(self):
        class Panel(qt.QWidget):
            pass

        panel = Panel()
        panel.remembered = 3
        panel.enabled = False
        self.assertEqual((panel.remembered, panel.isEnabled()), (3, False))

    def test_signals_by_signature_and_surplus_arguments(self):
        box = qt.QCheckBox()
        seen = []
        box.connect("toggled(bool)", seen.append)
        box.connect("toggled(bool)", lambda: seen.append("no argument wanted"))
        box.click()
        self.assertEqual(seen, [True, "no argument wanted"])
        box.disconnect("toggled(bool)", seen.append)
        box.click()
        self.assertEqual(seen, [True, "no argument wanted", "no argument wanted"])

    def test_lists_are_tuples_and_children_go_by_class_name(self):
        parent = qt.QWidget()
        label = qt.QLabel("first", parent)
        self.assertEqual(parent.children(), (label,))
        self.assertEqual(parent.findChildren("QLabel"), (label,))
        self.assertEqual(parent.findChildren("QPushButton"), ())

    def test_enum_properties_are_numbers(self):
        label = qt.QLabel()
        label.frameShape = qt.QFrame.Box
        self.assertEqual(label.frameShape, 1)
        self.assertEqual(label.frameShape, qt.QFrame.Box)
        self.assertNotEqual(label.frameShape, qt.QFrame.Panel)

    def test_dynamic_properties_are_attributes(self):
        edit = qt.QLineEdit()
        edit.setProperty("SlicerParameterName", "prefix")
        self.assertEqual(edit.SlicerParameterName, "prefix")
        self.assertEqual(edit.property("SlicerParameterName"), "prefix")

    @unittest.skipUnless(os.name == "posix", "needs a shell")
    def test_a_process_runs_and_is_heard(self):
        process = qt.QProcess()
        heard = []
        process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: heard.append(code))
        process.connect(
            "readyReadStandardOutput()", lambda: heard.append(bytes(process.readAllStandardOutput().data()))
        )
        process.start("/bin/sh", ["-c", "echo knee; exit 3"])
        for _ in range(500):
            slicer.app.processEvents()
            if 3 in heard:
                break
            process.waitForFinished(20)
        self.assertEqual(heard, [b"knee\n", 3])

    def test_the_startup_environment_is_the_users(self):
        environment = slicer.util.startupEnvironment()
        self.assertIn("PATH", environment)
        self.assertFalse([name for name in environment if name.startswith("VTK_DEFAULT")])

    def test_settings_are_kept_and_typed_by_the_reader(self):
        settings = qt.QSettings()
        settings.setValue("KneePipelineHost/answer", 42)
        self.addCleanup(settings.remove, "KneePipelineHost")
        self.assertEqual(slicer.util.settingsValue("KneePipelineHost/answer", 0, converter=int), 42)
        self.assertEqual(slicer.util.settingsValue("KneePipelineHost/none", "default"), "default")

    def test_messages_are_logged_in_testing_mode(self):
        if not slicer.app.testingEnabled():
            self.skipTest("without --testing the boxes wait for a click")
        with self.assertLogs(level="ERROR") as logged:
            slicer.util.errorDisplay("the network has no weights")
        self.assertIn("the network has no weights", logged.output[0])

    def test_a_timer_fires_once(self):
        fired = []
        timer = qt.QTimer()
        timer.singleShot = True
        timer.interval = 1
        timer.connect("timeout()", lambda: fired.append(1))
        timer.start()
        loop = qt.QEventLoop()
        qt.QTimer.singleShot(60, loop.quit)
        loop.exec_()
        self.assertEqual(fired, [1])


class CtkWidgets(unittest.TestCase):
    def test_collapsible_button_hides_its_content(self):
        button = ctk.ctkCollapsibleButton()
        button.text = "Advanced"
        layout = qt.QFormLayout(button)
        label = qt.QLabel("inside")
        layout.addRow(label)
        heard = []
        button.connect("contentsCollapsed(bool)", heard.append)
        button.collapsed = True
        self.assertEqual((label.isHidden(), heard), (True, [True]))
        button.collapsed = False
        self.assertEqual((label.isHidden(), heard), (False, [True, False]))

    def test_slider_and_path(self):
        slider = ctk.ctkSliderWidget()
        slider.minimum, slider.maximum = 0.0, 10.0
        heard = []
        slider.connect("valueChanged(double)", heard.append)
        slider.value = 2.5
        self.assertEqual((slider.value, heard), (2.5, [2.5]))
        path = ctk.ctkPathLineEdit()
        path.connect("currentPathChanged(QString)", heard.append)
        path.currentPath = "somewhere"
        self.assertEqual(heard[-1], "somewhere")
        with self.assertRaises(AttributeError):
            path.path = "elsewhere"


if __name__ == "__main__":
    unittest.main()
