"""Child processes of the module: both kinds keep the same promises."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import slicer
from KneePipelineLib.slicer_side import process as processes
from KneePipelineLib.slicer_side.process import PlainProcess, QtProcess, child_environment
from KneePipelineLib.slicer_side.process.base import EventReader, LineReader, progress_of

sys.path.insert(0, os.path.dirname(__file__))
from job_case import wait_until

PATIENCE_S = 30.0
FAMILY = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
own = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif "good" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: (child.kill(), own.kill(), sys.exit(3)))
print('{"event": "family", "pids": [%d, %d, %d]}' % (os.getpid(), child.pid, own.pid), flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Heard:
    """A process with everything it told."""

    def __init__(self, process) -> None:
        self.process, self.events, self.text, self.ends = process, [], [], []
        process.on_event, process.on_text = self.events.append, self.text.append
        process.on_finished = lambda exit_code, crashed: self.ends.append((exit_code, crashed))

    def start(self, code: str, *arguments: str, environment: dict | None = None) -> None:
        """Run Python code."""
        self.process.start([sys.executable, "-u", "-c", code, *arguments], environment or dict(os.environ),
                           Path(tempfile.gettempdir()))

    def wait(self, condition=None) -> bool:
        """Until the condition holds, by default until it has ended."""
        def reached() -> bool:
            self.process.poll()
            return bool(self.ends) if condition is None else condition()

        return wait_until(reached)


class Readers(unittest.TestCase):
    def test_events_in_pieces_of_any_size_are_the_same(self):
        stream = ('{"event": "state", "message": "Tränen"}\nplain words\n\n{"broken\n{"no": "event"}\n[1]\n'
                  '{"event": "result", "path": "r.json"}').encode()
        whole = EventReader()
        expected = whole.feed(stream) + whole.close()
        self.assertEqual([e["event"] for e in expected], ["state", "text", "text", "text", "text", "result"])
        self.assertEqual(expected[0]["message"], "Tränen")
        for size in (1, 2, 3, 7, 50):
            reader, events = EventReader(), []
            for start in range(0, len(stream), size):
                events += reader.feed(stream[start:start + size])
            self.assertEqual(events + reader.close(), expected)

    def test_a_line_without_end_is_cut_and_not_kept_for_ever(self):
        reader = LineReader()
        self.assertEqual([len(line) for line in reader.feed(b"x" * (3 << 20))], [1 << 20])

    def test_bars_that_redraw_themselves_are_lines(self):
        self.assertEqual(LineReader().feed(b"10 %\r20 %\r\n"), ["10 %", "20 %"])

    def test_set_ups_progress_is_understood(self):
        self.assertEqual(progress_of("[  7 %] Fetching uv."), (0.07, "Fetching uv."))
        self.assertEqual(progress_of("[100 %] Ready"), (1.0, "Ready"))
        self.assertIsNone(progress_of("Collecting torch [1/2]"))


class Promises:
    """Both implementations keep them."""

    kind: type

    def heard(self) -> Heard:
        """A new process of this kind that nothing can outlive."""
        heard = Heard(self.kind())
        self.addCleanup(heard.process.kill)
        return heard

    def test_channels_are_apart_and_the_last_words_are_kept(self):
        heard = self.heard()
        heard.start("import sys; print('{\"event\": \"state\"}'); print('out'); "
                    "[print(n, file=sys.stderr) for n in range(60)]; sys.exit(4)")
        self.assertTrue(heard.process.running)
        self.assertTrue(heard.wait())
        self.assertEqual(heard.events, [{"event": "state"}, {"event": "text", "message": "out"}])
        self.assertEqual(heard.text, [str(n) for n in range(60)])
        self.assertEqual(list(heard.process.last_lines), [str(n) for n in range(20, 60)])
        self.assertEqual(heard.ends, [(4, False)])
        self.assertFalse(heard.process.running)

    def test_half_a_last_line_is_heard(self):
        heard = self.heard()
        heard.start("import sys; sys.stdout.write('half'); sys.stderr.write('a word')")
        self.assertTrue(heard.wait())
        self.assertEqual((heard.events, heard.text), ([{"event": "text", "message": "half"}], ["a word"]))

    @unittest.skipIf(os.name == "nt", "POSIX signals")
    def test_a_crash_is_no_exit(self):
        heard = self.heard()
        heard.start("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        self.assertTrue(heard.wait())
        self.assertEqual(heard.ends, [(11, True)])

    def test_what_cannot_be_started_is_told(self):
        heard = self.heard()
        heard.process.start([os.path.join(tempfile.gettempdir(), "no such program")], dict(os.environ),
                            Path(tempfile.gettempdir()))
        self.assertTrue(heard.wait())
        self.assertEqual(heard.ends, [(processes.FAILED_TO_START, True)])
        self.assertTrue(heard.process.last_lines)

    @unittest.skipUnless(sys.platform.startswith("linux"), "looks into /proc")
    def test_cancel_ends_the_whole_family(self):
        for manner, grace_s in (("good", 60.0), ("deaf", 0.3)):
            with self.subTest(manner=manner):
                heard = self.heard()
                heard.process.grace_s = grace_s
                heard.start(FAMILY, manner)
                self.assertTrue(heard.wait(lambda events=heard.events: bool(events)))
                family = heard.events[0]["pids"]
                self.assertEqual(os.getsid(family[0]), family[0])
                heard.process.cancel()
                heard.process.cancel()
                self.assertTrue(heard.wait())
                self.assertTrue(wait_until(lambda family=family: not any(map(alive, family))))
                self.assertEqual(heard.ends, [(9, True)] if manner == "deaf" else [(3, False)])

    @unittest.skipUnless(sys.platform.startswith("linux"), "looks into /proc")
    def test_kill_leaves_nobody(self):
        heard = self.heard()
        heard.start(FAMILY, "deaf")
        self.assertTrue(heard.wait(lambda: bool(heard.events)))
        heard.process.kill()
        self.assertTrue(heard.wait())
        self.assertTrue(wait_until(lambda: not any(map(alive, heard.events[0]["pids"]))))


class PlainProcesses(Promises, unittest.TestCase):
    kind = PlainProcess


class QtProcesses(Promises, unittest.TestCase):
    kind = QtProcess

    def test_nothing_of_it_waits(self):
        """The event loop goes on turning while the child sleeps, and while it talks."""
        heard = self.heard()
        heard.start("import time\nfor n in range(5): print(n); time.sleep(0.05)")
        turns = []
        self.assertTrue(heard.wait(lambda: turns.append(len(heard.events)) or bool(heard.ends)))
        self.assertGreater(len(set(turns)), 2)


class Variables(unittest.TestCase):
    def setUp(self):
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))

    def test_nothing_of_slicers_python_is_handed_on(self):
        os.environ.update(SSL_CERT_FILE="/certificates.pem", HTTPS_PROXY="http://proxy:1",
                          KNEEPIPELINE_HOME="/somewhere", LD_LIBRARY_PATH="/slicer/lib")
        before = dict(os.environ)
        start_up = {"PYTHONHOME": "/python", "PYTHONSTARTUP": "x", "PATH": "/bin"}
        with mock.patch.object(slicer.util, "startupEnvironment", return_value=start_up):
            variables = child_environment()
        self.assertNotIn("LD_LIBRARY_PATH", variables)
        self.assertEqual(variables["PATH"], "/bin")
        self.assertEqual({name for name in variables if name.startswith("PYTHON")},
                         {"PYTHONPATH", "PYTHONUTF8", "PYTHONNOUSERSITE"})
        self.assertEqual(variables["PYTHONUTF8"], "1")
        self.assertEqual(variables["PYTHONNOUSERSITE"], "1")
        self.assertEqual(variables["SSL_CERT_FILE"], "/certificates.pem")
        self.assertEqual(variables["HTTPS_PROXY"], "http://proxy:1")
        self.assertEqual(variables["KNEEPIPELINE_HOME"], "/somewhere")
        self.assertEqual(dict(os.environ), before)

    def test_slicers_own_bundle_of_certificates_is_not_handed_on(self):
        """A hospital's authority is in the system's store, which is not asked while the variable names a bundle."""
        from KneePipelineLib.environment.child import child_environment as of_the_command_line

        os.environ.update(SLICER_HOME="/opt/Slicer", SSL_CERT_FILE="/opt/Slicer/share/Slicer.crt",
                          REQUESTS_CA_BUNDLE="/etc/ssl/hospital.pem")
        with mock.patch.object(slicer.util, "startupEnvironment", return_value={"PATH": "/bin"}):
            variables = child_environment()
        for found in (variables, of_the_command_line()):
            self.assertNotIn("SSL_CERT_FILE", found)
            self.assertEqual(found["REQUESTS_CA_BUNDLE"], "/etc/ssl/hospital.pem")

    def test_a_python_of_ones_own_is_named(self):
        self.assertEqual(child_environment("/own/python")["KNEEPIPELINE_PYTHON"], "/own/python")


if __name__ == "__main__":
    unittest.main()
