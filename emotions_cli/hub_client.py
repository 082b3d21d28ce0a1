"""Manners of the Hugging Face Hub's client: quiet, quick to notice that there is no network, happy with its cache."""

from __future__ import annotations

import socket
import sys
import urllib.request
from urllib.parse import urlsplit

CONNECT_SECONDS = 5.0

# names of the exceptions that mean "no network", whichever of the client's layers raises them
NO_NETWORK = frozenset(
    {"ConnectError", "ConnectTimeout", "ReadTimeout", "ProxyError", "OfflineModeIsEnabled", "ConnectionError", "gaierror"}
)


def prepare_hub_client() -> None:
    """Switch the client to its cache when the Hub does not answer, instead of its half minute of retries.

    Behind a proxy the client finds out for itself.
    """
    import datasets
    import huggingface_hub
    from huggingface_hub import constants

    huggingface_hub.utils.logging.set_verbosity_error()
    datasets.utils.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
        datasets.disable_progress_bars()
    if not _answers(constants.ENDPOINT):
        constants.HF_HUB_OFFLINE = True
        datasets.config.HF_HUB_OFFLINE = True


def _answers(endpoint: str) -> bool:
    address = urlsplit(endpoint)
    if address.scheme in urllib.request.getproxies():
        return True
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False
