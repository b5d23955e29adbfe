"""pip's configuration, as uv and an offline Set up get it; the torch build; the tags of wheels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from KneePipelineLib.environment import torch_build
from KneePipelineLib.environment.lockfile import Package, Target, read_lock
from KneePipelineLib.environment.offline import fits, missing, parse_wheel
from KneePipelineLib.environment.pip_configuration import pip_environment, read_pip_configuration, without_passwords
from KneePipelineLib.environment.torch_build import Driver
from KneePipelineLib.errors import ConfigError

LINUX = Target((3, 11), "Linux", "x86_64")


def configuration(tmp_path: Path, text: str, **variables: str):
    file = tmp_path / "my pip.conf"
    file.write_text(text, encoding="utf-8")
    environ = {"PIP_CONFIG_FILE": str(file), "XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)}
    return read_pip_configuration({**environ, **variables}, system="Linux")


def test_pips_file_becomes_uvs_options(tmp_path: Path) -> None:
    found = configuration(tmp_path, (
        "[global]\nindex-url = https://me:secret@index.example/simple\n"
        "extra-index-url =\n    https://one.example/simple\n    https://two.example/simple\n"
        "cert = /etc/cert.pem\nproxy = proxy.example:3128\ntrusted-host = one.example\ntimeout = 90\n"
        "client-cert = /etc/me.pem\n"
        "[install]\nfind-links = /some/wheels\n"
        "[freeze]\nindex-url = https://never.example\n"
    ))  # fmt: skip
    arguments = found.uv_arguments()
    assert arguments[:2] == ["--index-strategy", "unsafe-best-match"]
    pairs = list(zip(arguments[::2], arguments[1::2], strict=True))
    assert ("--default-index", "https://me:secret@index.example/simple") in pairs
    assert [value for key, value in pairs if key == "--index"] == [
        "https://one.example/simple", "https://two.example/simple"]  # fmt: skip
    assert ("--find-links", "/some/wheels") in pairs
    assert ("--allow-insecure-host", "one.example") in pairs
    assert found.uv_environment() == {
        "SSL_CERT_FILE": "/etc/cert.pem", "SSL_CLIENT_CERT": "/etc/me.pem", "UV_HTTP_TIMEOUT": "90",
        "HTTP_PROXY": "http://proxy.example:3128", "HTTPS_PROXY": "http://proxy.example:3128",
        "ALL_PROXY": "http://proxy.example:3128",
    }  # fmt: skip
    assert "secret" not in found.describe()


def test_variables_win_over_files_and_no_index_shuts_indexes_off(tmp_path: Path) -> None:
    text = "[global]\nindex-url = https://file.example\nfind-links = /file\n"
    found = configuration(tmp_path, text, PIP_INDEX_URL="https://variable.example", PIP_FIND_LINKS="/a /b")
    assert found.index_url == "https://variable.example"
    assert found.find_links == ("/a", "/b")
    shut = configuration(tmp_path, text, PIP_NO_INDEX="yes").uv_arguments()
    assert "--no-index" in shut
    assert "--default-index" not in shut


def test_no_configuration_file_is_read_when_pip_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text("[global]\nindex-url = https://user.example\n", encoding="utf-8")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_CONFIG_DIRS": "", "HOME": str(tmp_path)}
    assert read_pip_configuration(environ, system="Linux").index_url == "https://user.example"
    assert read_pip_configuration({**environ, "PIP_CONFIG_FILE": os.devnull}, system="Linux").index_url == ""


def test_pip_is_never_led_elsewhere() -> None:
    mine = {"PIP_TARGET": "/elsewhere", "PIP_USER": "1", "PIP_INDEX_URL": "https://i.example", "PIP_NO_BINARY": ":all:"}
    kept = pip_environment(mine)
    assert "PIP_TARGET" not in kept
    assert "PIP_NO_BINARY" not in kept
    assert kept["PIP_USER"] == "0"
    assert kept["PIP_INDEX_URL"] == "https://i.example"
    offline = pip_environment(mine, offline=True)
    assert "PIP_INDEX_URL" not in offline
    assert offline["PIP_CONFIG_FILE"] == os.devnull


def test_passwords_are_cut_out_of_text() -> None:
    assert without_passwords("in https://me:pa55@i.example/simple now") == "in https://i.example/simple now"


@pytest.mark.parametrize(("wanted", "system", "requirement", "index"), [
    ("cpu", "Linux", "torch==2.13.0+cpu", "whl/cpu"),
    ("cpu", "Darwin", "torch==2.13.0", ""),
    ("cpu", "Windows", "torch==2.13.0", ""),
    ("cu130", "Linux", "torch==2.13.0", ""),
    ("cu130", "Windows", "torch==2.13.0+cu130", "whl/cu130"),
])  # fmt: skip
def test_torch_requirement(wanted: str, system: str, requirement: str, index: str) -> None:
    chosen = torch_build.choose(wanted, read_lock(), Target((3, 11), system, "x86_64"))
    assert chosen.requirement == requirement
    assert chosen.index.endswith(index)
    assert bool(chosen.index) == bool(index)


@pytest.mark.parametrize(("driver", "build", "remark"), [
    (None, "cpu", ""),
    (Driver((13, 0), (("H200", (9, 0)),)), "cu130", ""),
    (Driver((13, 2), (("old card", (6, 1)), ("T4", (7, 5)))), "cu130", ""),
    (Driver((12, 4), (("A100", (8, 0)),)), "cpu", "update the driver"),
    (Driver((13, 0), (("V100", (7, 0)),)), "cpu", "too old"),
])  # fmt: skip
def test_auto_asks_the_driver(driver: Driver | None, build: str, remark: str) -> None:
    chosen = torch_build.choose("auto", read_lock(), LINUX, lambda: driver)
    assert chosen.build == build
    assert remark in chosen.remark
    assert bool(remark) == bool(chosen.remark)


def test_auto_on_a_mac_asks_nobody() -> None:
    def never() -> None:
        raise AssertionError("there is no NVIDIA driver on a Mac")

    chosen = torch_build.choose("auto", read_lock(), Target((3, 12), "Darwin", "arm64"), never)
    assert chosen.requirement == "torch==2.13.0"


@pytest.mark.parametrize(("wanted", "system"), [("cu999", "Linux"), ("gpu", "Linux"), ("cu130", "Darwin")])
def test_unknown_torch_builds_are_refused(wanted: str, system: str) -> None:
    with pytest.raises(ConfigError):
        torch_build.choose(wanted, read_lock(), Target((3, 11), system, "arm64"))


@pytest.mark.parametrize(("filename", "target", "libc", "expected"), [
    ("a-1-py3-none-any.whl", LINUX, (2, 17), True),
    ("a-1-py2.py3-none-any.whl", LINUX, (2, 17), True),
    ("a-1-py2-none-any.whl", LINUX, (2, 17), False),
    ("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", LINUX, (2, 28), True),
    ("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", LINUX, (2, 17), False),
    ("a-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", LINUX, (2, 17), True),
    ("a-1-cp312-cp312-manylinux_2_28_x86_64.whl", LINUX, (2, 36), False),
    ("a-1-cp39-abi3-manylinux_2_28_x86_64.whl", LINUX, (2, 36), True),
    ("a-1-cp312-abi3-manylinux_2_28_x86_64.whl", LINUX, (2, 36), False),
    ("a-1-cp311-cp311-musllinux_1_2_x86_64.whl", LINUX, (2, 36), False),
    ("a-1-cp311-cp311-manylinux_2_28_aarch64.whl", LINUX, (2, 36), False),
    ("a-1-cp311-cp311-win_amd64.whl", LINUX, (2, 36), False),
    ("a-1-cp311-cp311-win_amd64.whl", Target((3, 11), "Windows", "AMD64"), None, True),
    ("a-1-py3-none-win_arm64.whl", Target((3, 11), "Windows", "AMD64"), None, False),
    ("a-1-cp311-cp311-macosx_11_0_arm64.whl", Target((3, 11), "Darwin", "arm64"), None, True),
    ("a-1-cp311-cp311-macosx_10_9_universal2.whl", Target((3, 11), "Darwin", "arm64"), None, True),
    ("a-1-cp311-cp311-macosx_10_9_x86_64.whl", Target((3, 11), "Darwin", "arm64"), None, False),
    ("a-1-2build-cp311-cp311-linux_x86_64.whl", LINUX, (2, 36), True),
])  # fmt: skip
def test_wheel_tags(filename: str, target: Target, libc: tuple[int, int] | None, expected: bool) -> None:
    assert fits(parse_wheel(filename), target, libc) is expected


def test_offline_versions_follow_pep_440(tmp_path: Path) -> None:
    for name in ("torch-1.0+cpu-py3-none-any.whl", "Some_Thing-2.0.0-py3-none-any.whl", "notes.txt"):
        (tmp_path / name).touch()
    packages = [Package("torch", "1.0", ("core",)), Package("some-thing", "2.0", ("core",))]
    assert missing(tmp_path, packages, LINUX, "torch==1.0") == []
    assert missing(tmp_path, packages, LINUX, "torch==1.0+cu130") == ["torch==1.0+cu130"]
    assert missing(tmp_path / "nowhere", packages, LINUX, "torch==1.0") == ["torch==1.0", "some-thing==2.0"]
