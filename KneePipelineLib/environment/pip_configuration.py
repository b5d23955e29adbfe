"""pip's own configuration, read so that uv can be given the same sources, proxies and certificates.

pip reads it by itself; uv does not. The order of precedence is pip's: global, user, site file, ``PIP_CONFIG_FILE``,
``PIP_*`` variables (https://pip.pypa.io/en/stable/topics/configuration/).
"""

from __future__ import annotations

import configparser
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Options that would send packages elsewhere than into the private environment, or change the pins.
_MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_NO_BINARY",
               "PIP_ONLY_BINARY", "PIP_PYTHON", "PIP_REQUIRE_HASHES", "PIP_DRY_RUN", "PIP_EDITABLE", "PIP_UPGRADE",
               "PIP_QUIET", "PIP_LOG", "PIP_IGNORE_INSTALLED", "PIP_BUILD_CONSTRAINT")  # fmt: skip


@dataclass(frozen=True)
class PipConfiguration:
    """The part of pip's configuration that says where packages come from and how to reach it."""

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    trusted_hosts: tuple[str, ...] = ()
    cert: str = ""
    client_cert: str = ""
    proxy: str = ""
    timeout_s: str = ""
    sources: tuple[str, ...] = ()

    def uv_arguments(self) -> list[str]:
        """The same sources as options of ``uv pip install``. The best match of all indexes counts, as in pip."""
        arguments = ["--index-strategy", "unsafe-best-match"]
        if self.no_index:
            arguments.append("--no-index")
        else:
            if self.index_url:
                arguments += ["--default-index", self.index_url]
            for url in self.extra_index_urls:
                arguments += ["--index", url]
        for place in self.find_links:
            arguments += ["--find-links", place]
        for host in self.trusted_hosts:
            arguments += ["--allow-insecure-host", host]
        return arguments

    def uv_environment(self) -> dict[str, str]:
        """The same proxy, certificates and timeout as environment variables of uv."""
        variables = {}
        if self.cert:
            variables["SSL_CERT_FILE"] = self.cert
        if self.client_cert:
            variables["SSL_CLIENT_CERT"] = self.client_cert
        if self.proxy:
            address = self.proxy if "://" in self.proxy else f"http://{self.proxy}"
            variables.update(HTTP_PROXY=address, HTTPS_PROXY=address, ALL_PROXY=address)
        if self.timeout_s:
            variables["UV_HTTP_TIMEOUT"] = str(int(float(self.timeout_s)))
        return variables

    def describe(self) -> str:
        """The sources in a few words, without passwords."""
        parts = ["no index"] if self.no_index else [self.index_url or "the default index", *self.extra_index_urls]
        return without_passwords(", ".join([*parts, *self.find_links]))


def without_passwords(text: str) -> str:
    """`text` with user names and passwords cut out of its URLs."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def read_pip_configuration(environ: Mapping[str, str] | None = None, system: str | None = None) -> PipConfiguration:
    """Read pip's files and variables as pip does, for ``pip install``."""
    environ = os.environ if environ is None else environ
    values: dict[str, str] = {}
    read = []
    for path in _files(environ, system or platform.system()):
        found = _read_file(path)
        if found:
            values.update(found)
            read.append(str(path))
    for name, value in environ.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value.strip():
            values[name[4:].lower().replace("_", "-")] = value
    if any(name.startswith("PIP_") for name in environ):
        read.append("PIP_* variables")
    words = {key: tuple(values.get(key, "").split()) for key in ("extra-index-url", "find-links", "trusted-host")}
    return PipConfiguration(
        index_url=values.get("index-url", "").strip(),
        extra_index_urls=words["extra-index-url"],
        find_links=words["find-links"],
        no_index=values.get("no-index", "").strip().lower() in ("1", "true", "yes", "on", "y", "t"),
        trusted_hosts=words["trusted-host"],
        cert=values.get("cert", "").strip(),
        client_cert=values.get("client-cert", "").strip(),
        proxy=values.get("proxy", "").strip(),
        timeout_s=values.get("timeout", values.get("default-timeout", "")).strip(),
        sources=tuple(read),
    )


def _files(environ: Mapping[str, str], system: str) -> list[Path]:
    """pip's configuration files, the weakest first."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    user = Path(os.path.expanduser("~"))
    name = "pip.ini" if system == "Windows" else "pip.conf"
    if system == "Windows":
        places = [Path(environ.get("PROGRAMDATA", "C:\\ProgramData")) / "pip", user / "pip"]
        places.append(Path(environ.get("APPDATA") or user / "AppData" / "Roaming") / "pip")
    else:
        places = [Path(p) / "pip" for p in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep) if p]
        places += [Path("/etc"), user / ".pip"]
        places.append(Path(environ.get("XDG_CONFIG_HOME") or user / ".config") / "pip")
        if system == "Darwin":
            places.insert(0, Path("/Library/Application Support/pip"))
            library = user / "Library" / "Application Support" / "pip"
            if library.is_dir():
                places[-1] = library
    files = [place / name for place in places] + [Path(sys.prefix) / name]
    return files + ([Path(named)] if named else [])


def _read_file(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):
        return {}
    values: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            values.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    return values


def pip_environment(environ: Mapping[str, str], offline: bool = False) -> dict[str, str]:
    """Variables for pip: the user's own, less those that lead elsewhere.

    With `offline` every source of the user's configuration is shut off too.
    """
    kept = {name: value for name, value in environ.items() if name not in _MISLEADING}
    if offline:
        kept = {name: value for name, value in kept.items() if not name.startswith("PIP_")}
        kept["PIP_CONFIG_FILE"] = os.devnull
    kept.update(PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1",
                PIP_NO_COLOR="1", PIP_PROGRESS_BAR="off")  # fmt: skip
    return kept
