"""What the hub's refusals mean for a person: each status as one typed error with one way out.

The hub tells gated, missing and forbidden apart by the header ``X-Error-Code`` (huggingface_hub turns it into types),
not reliably by the status: a gated repository answers 401 without and 403 with a token, a missing one 401 to strangers.
"""

from __future__ import annotations

import json
from types import ModuleType

from .entries import Model
from .failures import (
    DownloadError,
    GatedAccessError,
    HubServerError,
    HubUnreachableError,
    NotOnHubError,
    OfflineError,
    ProxyFailedError,
    TokenRefusedError,
    TransferStalledError,
)

NO_HUB = "its answer is not that of a hub"
TOKEN_HOW = "Make a token with read access in your account's settings there, then set HF_TOKEN or run `hf auth login`"


def explain(error: Exception, model: Model, host: str, *, has_token: bool, http: ModuleType) -> DownloadError | None:
    """The typed error for whatever huggingface_hub or its HTTP library raised; None for anything else."""
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return OfflineError(f"{model.name} cannot be downloaded, because huggingface_hub is set offline.",
                            "Unset HF_HUB_OFFLINE.")
    if isinstance(error, errors.GatedRepoError):
        return _gated(model, has_token)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        return _by_status(status, error, model, host, has_token)
    if isinstance(error, http.ProxyError):
        if "407" in str(error):  # the answer to CONNECT, which is no response of the hub's
            return _proxy_login(model)
        return ProxyFailedError(f"{model.name} was not downloaded: the proxy refused the connection to {host}.",
                                "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return HubUnreachableError(
            f"{model.name} was not downloaded: the certificate of {host} is not trusted on this machine.",
            "Where a proxy inspects traffic, set SSL_CERT_FILE to its certificate.")
    if isinstance(error, http.ReadTimeout | http.WriteTimeout | http.RemoteProtocolError | http.ReadError):
        return TransferStalledError(
            f"The download of {model.name} from {host} stood still or was cut too often.",
            "Run the same command again later: it continues where it stopped.")
    if isinstance(error, http.HTTPError):
        return explain_unreachable(model, host, "no connection")
    if isinstance(error, errors.FileMetadataError) or (isinstance(error, ValueError) and "json" in repr(error).lower()):
        return explain_unreachable(model, host, NO_HUB)
    return None


def explain_unreachable(model: Model, host: str, why: str) -> HubUnreachableError:
    """No usable answer from the host."""
    return HubUnreachableError(
        f"{model.name} was not downloaded: {host} cannot be used ({why}).",
        "Check the network, the proxy and HF_ENDPOINT, or import the files: "
        f"python3 -m KneePipelineLib models import {model.name} PATH")


def explain_other_content(model: Model, host: str, path: str) -> HubUnreachableError:
    """An answer that is no refusal, and not the file either."""
    return HubUnreachableError(
        f"{model.name} was not downloaded: {host} sent something else instead of {path}, most likely the login page of "
        "this network.",
        "Log in to the network with a browser, or ask who runs it to let this host through; or import the files: "
        f"python3 -m KneePipelineLib models import {model.name} PATH")


def _proxy_login(model: Model) -> ProxyFailedError:
    return ProxyFailedError(f"{model.name} was not downloaded: the proxy asks for a login (407).",
                            "Put user and password into HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT", status=407)


def _is_the_hubs(error: Exception) -> bool:
    """Whether a refusal speaks the hub's language: a firewall says no with a status of its own and a page."""
    response = error.response
    if any(name in response.headers for name in ("X-Error-Code", "X-Error-Message", "WWW-Authenticate")):
        return True
    try:
        return isinstance(json.loads(response.read()), dict)
    except Exception:  # a body that does not come, or is no JSON
        return False


def _gated(model: Model, has_token: bool) -> GatedAccessError:
    if has_token:
        return GatedAccessError(
            f"{model.name} is gated and your account has not been granted access.",
            f"Visit {model.page}, accept its terms with the account of your token, then try again.", page=model.page)
    return GatedAccessError(f"{model.name} is gated: its authors ask you to log in and to accept their terms.",
                            f"Visit {model.page} and accept them. {TOKEN_HOW}.", page=model.page)


def _by_status(status: int, error: Exception, model: Model, host: str, has_token: bool) -> DownloadError:
    from huggingface_hub import errors

    if status == 403 and not _is_the_hubs(error):
        return HubUnreachableError(
            f"{model.name} was not downloaded: something on the way to {host} forbids it (403), most likely a firewall "
            "or a proxy.",
            "Ask who runs the network to let this host through, or import the files: "
            f"python3 -m KneePipelineLib models import {model.name} PATH", status=status)
    if status in (401, 403):
        if model.gated and not has_token:
            return _gated(model, has_token)
        if has_token:
            return TokenRefusedError(f"{host} refused your access token for {model.name} ({status}).",
                                     f"It may be wrong, expired or without read access. {TOKEN_HOW}.", status=status)
        return TokenRefusedError(f"{host} asks for a login before it gives {model.name} ({status}).",
                                 f"{TOKEN_HOW}; see {model.page}.", status=status)
    if status == 404:
        what = ("the revision" if isinstance(error, errors.RevisionNotFoundError) else
                "a file" if isinstance(error, errors.EntryNotFoundError) else "the repository")
        return NotOnHubError(f"{model.name} was not downloaded: {what} is not at {host} (404).",
                             f"See {model.page}; it may have been moved or withdrawn.", status=status)
    if status == 429:
        return HubServerError(f"{host} refused {model.name} because of too many requests (429).",
                              "Try again in an hour, or log in with a token.", status=status)
    if status >= 500 or status == 408:
        return HubServerError(f"{host} failed again and again while {model.name} was fetched ({status}).",
                              "Run the same command again later: it continues where it stopped.", status=status)
    if status == 407:
        return _proxy_login(model)
    return DownloadError(f"{host} refused {model.name} with status {status}.", f"See {model.page}.", status=status)
