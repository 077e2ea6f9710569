"""HTTP for scripts: one request with a deadline, tried again where that may help.

What comes back is bounded: its size, the redirections, the time. Only http and https are spoken,
and what a redirection leads to elsewhere gets none of the script's headers.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from .script.actions import FetchNow
from .script.events import Done, Failed
from .script.model import Json

if TYPE_CHECKING:
    import aiohttp

MAX_REDIRECTS = 5
MAX_BODY_BYTES = 256 * 1024
MAX_CONNECTIONS = 100
MAX_TEXT_CHARACTERS = 8_192
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
AGAIN = frozenset({429, 500, 502, 503, 504})
SAFE = frozenset({"GET", "HEAD"})

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Json


class _Refused(Exception):
    """A request is not made, or its answer not taken; trying again would change nothing."""


class Fetcher:
    """Makes the requests of many conversations by one pool of connections."""

    def __init__(
        self,
        clock_ms: Callable[[], int] | None = None,
        *,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._clock_ms = clock_ms or (lambda: time.time_ns() // 1_000_000)
        self._sleep = sleep
        self._jitter = jitter
        self._max_body_bytes = max_body_bytes
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Fetcher:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def perform(self, action: FetchNow) -> Done | Failed:
        """Make the request, and again while that may help; the event that answers the action.

        An answer below 400 is Done. Failed has the last try's status and body, if there was one.
        """
        reason, answer = "", None
        for tried in range(action.retries + 1):
            if tried:
                await self._sleep(self._pause_s(tried))
            reason, answer = await self._try(action)
            if not reason:
                break
            if answer is not None and answer.status not in AGAIN:
                break
        result: Json = {"status": answer.status, "body": answer.body} if answer else None
        if not reason:
            return Done(at_ms=self._clock_ms(), turn=action.turn, result=result)
        return Failed(
            at_ms=self._clock_ms(), turn=action.turn, kind="http", reason=reason, result=result
        )

    def _pause_s(self, tried: int) -> float:
        """Twice as long each time, and at random between half of it and all."""
        pause_s: float = min(FIRST_PAUSE_S * 2.0 ** (tried - 1), LONGEST_PAUSE_S)
        return pause_s * (0.5 + self._jitter() / 2)

    async def _try(self, action: FetchNow) -> tuple[str, _Answer | None]:
        """One try: why it failed, if it did, and what was answered, if anything."""
        import aiohttp  # noqa: PLC0415 - large, and most scripts make no requests

        try:
            async with asyncio.timeout(action.deadline_ms / 1000):
                answer = await self._ask(action)
        except TimeoutError:
            return f"no answer within {action.deadline_ms} ms", None
        except _Refused as refusal:
            # 0 is no status of HTTP: nothing to try again.
            return str(refusal), _Answer(0, None)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text of some errors has the whole URL, and with it what the script keeps secret.
            return f"{type(error).__name__} at {_host_of(action.url)}", None
        if answer.status >= 400:
            return f"status {answer.status} from {_host_of(action.url)}", answer
        return "", answer

    async def _ask(self, action: FetchNow) -> _Answer:
        method, url, body = action.method.upper(), action.url, action.body
        headers = {"Accept": "application/json", **dict(action.headers)}
        for _ in range(MAX_REDIRECTS + 1):
            _check(url)
            async with self._pool().request(
                method,
                url,
                headers=headers,
                data=_encoded(body),
                allow_redirects=False,
            ) as response:
                location = response.headers.get("Location")
                if response.status not in (301, 302, 303, 307, 308) or location is None:
                    return await self._read(response)
                target = urljoin(url, location)
                if response.status not in (307, 308) and method not in SAFE:
                    method, body = "GET", None
            if _origin_of(target) != _origin_of(url):
                if method not in SAFE or (url.startswith("https:") and target.startswith("http:")):
                    raise _Refused(f"a redirection from {_host_of(url)} to another place")
                headers = {"Accept": "application/json"}
            url = target
        raise _Refused(f"more than {MAX_REDIRECTS} redirections")

    def _pool(self) -> aiohttp.ClientSession:
        import aiohttp  # noqa: PLC0415

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # The deadline is the action's; a session's own would come on top.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
                headers={"User-Agent": "ringwheel", "Content-Type": "application/json"},
            )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse) -> _Answer:
        content = bytearray()
        async for chunk in response.content.iter_chunked(16_384):
            content += chunk
            if len(content) > self._max_body_bytes:
                raise _Refused(f"an answer of more than {self._max_body_bytes:,} bytes")
        return _Answer(response.status, _decoded(bytes(content), response.content_type))


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _Refused(f"a URL that cannot be read: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _Refused(f"{parts.scheme or 'no scheme'}: only http and https are spoken")


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _host_of(url: str) -> str:
    """For people: of a URL that was asked, and so has one."""
    return urlsplit(url).hostname or ""


def _encoded(body: Json) -> bytes | None:
    return None if body is None else json.dumps(body, allow_nan=False).encode()


def _decoded(content: bytes, content_type: str) -> Json:
    """JSON where it says so; other text as it is; nothing where there is none."""
    if not content:
        return None
    if content_type == "application/json" or content_type.endswith("+json"):
        try:
            value: Json = json.loads(content, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise _Refused("an answer that calls itself JSON, and is none") from error
        return value
    return content.decode("utf-8", "replace")[:MAX_TEXT_CHARACTERS]


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
