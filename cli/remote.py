"""Asking a running engine by its HTTP port; every way to fail is one line."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, build_opener

import typer

from .errors import STATUS_FAILED, CommandError

DEFAULT_URL = "http://127.0.0.1:9090"
TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024

Url = Annotated[
    str, typer.Option(help="Where `ringwheel serve --http` listens.", metavar="http://HOST:PORT")
]


def ask(
    url: str, path: str, has: str, parameters: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON of a page, which has the key ``has``. Raises CommandError."""
    if not _is_web_address(url):
        raise CommandError(f"--url {url}: no web address", f"Write it as {DEFAULT_URL}")
    target = url.rstrip("/") + path + (f"?{urlencode(parameters)}" if parameters else "")
    try:
        answer = json.loads(_fetch(target))
    except HTTPError as error:
        said = error.read(1_000).decode("utf-8", "replace")
        raise CommandError(f"{url} refused: {error.code} {said}", status=STATUS_FAILED) from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise CommandError(
            f"nobody answers at {url}: {getattr(reason, 'strerror', None) or reason}",
            "Start the engine with `ringwheel serve --http PORT`, or say --url",
            STATUS_FAILED,
        ) from error
    except (ValueError, http.client.HTTPException) as error:
        raise _no_engine(url) from error
    if not isinstance(answer, dict) or has not in answer:
        raise _no_engine(url)
    return answer


def _is_web_address(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https")
    except ValueError:
        return False


def _fetch(target: str) -> bytes:
    # Whatever proxy the environment names: a running engine is asked itself.
    with build_opener(ProxyHandler({})).open(target, timeout=TIMEOUT_S) as answer:
        body: bytes = answer.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise ValueError("an answer of no end")
    return body


def _no_engine(url: str) -> CommandError:
    return CommandError(f"what answers at {url} is no engine of Ringwheel", "Check --url")
