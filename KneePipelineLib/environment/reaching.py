"""Can the package index be reached at all? Installers that cannot say that a package has no versions."""

from __future__ import annotations

import re
import socket
import ssl
from urllib.parse import urlsplit

from .pip_configuration import PipConfiguration

TIMEOUT_S = 10.0
DEFAULT_INDEX = "https://pypi.org/simple"
WAY_OUT = ("Check the network and the proxy (the variables HTTPS_PROXY and HTTP_PROXY, or proxy in pip's "
           "configuration); without a network use setup --offline FOLDER.")
_CERTIFICATE = ("CERTIFICATE_VERIFY_FAILED", "certificate verify failed", "invalid peer certificate")
_OF_SOURCES = re.compile("find a version|matching distribution|fetch|connect|timed out|no solution|registry|proxy|http",
                         re.IGNORECASE)
_REFUSALS = {401: "it asks for a login (401)", 403: "it is forbidden (403), by the index or by a firewall",
             407: "the proxy asks for a login (407)"}


def why_not(configuration: PipConfiguration, said: str = "", index: str = "") -> str:
    """Why nothing can come from the index, as a sentence with a way out; empty when it answers.

    Parameters
    ----------
    configuration
        Where pip is told to look, and through which proxy.
    said
        The installer's own words; only where they speak of sources anything is asked.
    index
        Another index than the configured one.
    """
    address = index or configuration.index_url or DEFAULT_INDEX
    host = urlsplit(address).hostname or address
    if not index and (configuration.no_index or not address.startswith(("http://", "https://"))):
        return ""
    if any(words in said for words in _CERTIFICATE):
        return (f"The certificate of {host} is not trusted on this computer. Where a proxy inspects traffic, give its "
                "certificate: cert in pip's configuration, or the variable SSL_CERT_FILE.")
    if said and not _OF_SOURCES.search(said):
        return ""  # a full disk, for example, although nobody could have been reached either
    reason = _reason(f"{address.rstrip('/')}/pip/", configuration.proxy)
    return f"The package index {host} cannot be used: {reason}. {WAY_OUT}" if reason else ""


def _reason(address: str, proxy: str) -> str:
    """What is in the way of an address; empty when it answers, be it that it has no such page."""
    import urllib.error
    import urllib.request  # a tenth of a second at the start of every command, otherwise

    handlers = [urllib.request.ProxyHandler({"http": proxy, "https": proxy})] if proxy else []
    try:
        urllib.request.build_opener(*handlers).open(address, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return _REFUSALS.get(refusal.code, "")
    except urllib.error.URLError as problem:
        return _in_words(problem.reason)
    except (OSError, ValueError) as problem:
        return _in_words(problem)
    return ""


def _in_words(problem: object) -> str:
    text = str(problem)
    if isinstance(problem, ssl.SSLError):
        return ""  # somebody answers; Python's own certificates are not those of the installer
    if "407" in text:  # the proxy's answer to CONNECT
        return _REFUSALS[407]
    if isinstance(problem, socket.gaierror):
        return "its name, or the proxy's, is not known here"
    if isinstance(problem, TimeoutError):
        return "no answer"
    return (getattr(problem, "strerror", None) or text or type(problem).__name__).lower()
