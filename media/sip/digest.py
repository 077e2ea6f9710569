"""Digest access authentication (RFC 7616 and 8760, used by RFC 3261 section 22), both sides.

Text of a peer is bounded before it is read; a challenge that cannot be read or served is no
challenge.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from .edge import Timers
from .fields import quote, split_commas, unquote
from .message import Request, Response, SipParseError

MAX_VALUE_CHARS = 4_096
MAX_CHALLENGES = 8
MAX_REALMS = 4
"""As many realms as one request is signed for: a few proxies, and the server behind them."""

_CHALLENGE_OF = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}
_ANSWER_OF = {401: "Authorization", 407: "Proxy-Authorization"}
_HEX_DIGITS = "0123456789abcdefABCDEF"
CREDENTIAL_HEADERS = frozenset(_ANSWER_OF.values())


class Algorithm(Enum):
    """Hash algorithms, the weakest first (RFC 8760 section 2)."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"
    SHA_512_256 = "SHA-512-256"

    def hash(self, text: str | bytes) -> str:
        """Hexadecimal digest of ``text``."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        return hashlib.new(_HASHES[self], data, usedforsecurity=False).hexdigest()


_HASHES = {
    Algorithm.MD5: "md5",
    Algorithm.SHA_256: "sha256",
    Algorithm.SHA_512_256: "sha512_256",
}
_STRENGTH = {
    algorithm: strength
    for strength, algorithm in enumerate(Algorithm)
    if _HASHES[algorithm] in hashlib.algorithms_available
}
_NAMES = {algorithm.value.lower(): algorithm for algorithm in _STRENGTH}
_NOBODY = Algorithm.SHA_256.hash(secrets.token_bytes(32))
"""Stands for the secret of users that do not exist, so that they take the same time."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and its password, which no ``repr`` shows. ValueError: a line break in one.

    With a ``realm`` they are for that one alone: others that ask get nothing to guess at.
    """

    user: str
    password: str = field(repr=False)
    realm: str | None = None

    def __post_init__(self) -> None:
        if not self.user or set("\r\n") & {*self.user, *self.password}:
            raise ValueError("credentials need a user name, and neither part holds a line break")

    def ha1(self, realm: str, algorithm: Algorithm) -> str:
        """H(user:realm:password), the secret that both sides know."""
        return algorithm.hash(f"{self.user}:{realm}:{self.password}")


def digest_of(
    algorithm: Algorithm,
    ha1: str,
    *,
    nonce: str,
    method: str,
    uri: str,
    qop: str = "",
    nc: str = "",
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """The ``response`` value (RFC 7616 3.4.1); without ``qop`` that of RFC 2069."""
    a2 = f"{method}:{uri}"
    if qop == "auth-int":
        a2 += f":{algorithm.hash(body)}"
    middle = f"{nc}:{cnonce}:{qop}:" if qop else ""
    return algorithm.hash(f"{ha1}:{nonce}:{middle}{algorithm.hash(a2)}")


def _session_ha1(algorithm: Algorithm, ha1: str, nonce: str, cnonce: str) -> str:
    """HA1 of the ``-sess`` variants (RFC 7616 3.4.2)."""
    return algorithm.hash(f"{ha1}:{nonce}:{cnonce}")


# Reading


def _read_schemes(value: str) -> Iterable[dict[str, str]]:
    """The parameters of each Digest scheme in a header value; nothing of what cannot be read."""
    if len(value) > MAX_VALUE_CHARS:
        return
    try:
        elements = split_commas(value)
    except SipParseError:
        return
    current: dict[str, str] | None = None
    for element in elements:
        name, _, text = element.partition("=")
        words = name.split()
        if len(words) == 2:
            # A scheme opens; SIP has one a line, HTTP may have several (RFC 9110 11.6.1).
            if current:
                yield current
            current = {} if words[0].lower() == "digest" else None
        if current is not None and words:
            current.setdefault(words[-1].lower(), unquote(text.strip()))
    if current:
        yield current


def _read_algorithm(text: str | None) -> tuple[Algorithm, bool] | None:
    """The algorithm, and whether it is a ``-sess`` one; None if we do not know it."""
    name = (text or "MD5").lower()
    algorithm = _NAMES.get(name.removesuffix("-sess"))
    return None if algorithm is None else (algorithm, name.endswith("-sess"))


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that we can answer. ``qop`` is what we choose of it, "" for none."""

    realm: str
    nonce: str
    algorithm: Algorithm
    named: str | None
    session: bool
    qop: str
    opaque: str | None
    stale: bool

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> Challenge | None:
        """None: something is missing, or of a kind that we do not know."""
        known = _read_algorithm(fields.get("algorithm"))
        offered = fields.get("qop")
        qop = "" if offered is None else _choose_qop(offered)
        if known is None or qop is None or "realm" not in fields or not fields.get("nonce"):
            return None
        return cls(
            fields["realm"],
            fields["nonce"],
            known[0],
            fields.get("algorithm"),
            known[1],
            qop,
            fields.get("opaque"),
            fields.get("stale", "").lower() == "true",
        )


def _choose_qop(offered: str) -> str | None:
    kinds = {kind.strip().lower() for kind in offered.split(",")}
    return next((kind for kind in ("auth", "auth-int") if kind in kinds), None)


def challenges_of(response: Response) -> list[Challenge]:
    """For each realm of a 401 or 407 the strongest challenge that we can answer."""
    best: dict[str, Challenge] = {}
    seen = 0
    for value in response.headers.all(_CHALLENGE_OF[response.status]):
        for fields in _read_schemes(value):
            seen += 1
            if seen > MAX_CHALLENGES:
                return list(best.values())
            challenge = Challenge.read(fields)
            if challenge is None:
                continue
            known = best.get(challenge.realm)
            if known is None or _STRENGTH[challenge.algorithm] > _STRENGTH[known.algorithm]:
                best[challenge.realm] = challenge
    return list(best.values())


# The client


class _Session:
    """The use of one nonce: its count, and the secret, which is hashed once."""

    __slots__ = ("_challenge", "_cnonce", "_count", "_credentials", "_ha1")

    def __init__(self, challenge: Challenge, credentials: Credentials, cnonce: str) -> None:
        self._challenge = challenge
        self._credentials = credentials
        self._cnonce = cnonce
        self._count = 0
        ha1 = credentials.ha1(challenge.realm, challenge.algorithm)
        if challenge.session:
            ha1 = _session_ha1(challenge.algorithm, ha1, challenge.nonce, cnonce)
        self._ha1 = ha1

    def answer(self, request: Request) -> str:
        """The value of (Proxy-)Authorization for a request; the nonce count goes on."""
        challenge = self._challenge
        self._count += 1
        nc = f"{self._count:08x}"
        response = digest_of(
            challenge.algorithm,
            self._ha1,
            nonce=challenge.nonce,
            method=request.method,
            uri=request.uri,
            qop=challenge.qop,
            nc=nc,
            cnonce=self._cnonce,
            body=request.body,
        )
        parts = [
            f"username={quote(self._credentials.user)}",
            f"realm={quote(challenge.realm)}",
            f"nonce={quote(challenge.nonce)}",
            f"uri={quote(request.uri)}",
            f'response="{response}"',
        ]
        if challenge.named is not None:
            parts.append(f"algorithm={challenge.named}")
        if challenge.qop or challenge.session:
            parts.append(f'cnonce="{self._cnonce}"')
        if challenge.qop:
            parts.append(f"qop={challenge.qop}, nc={nc}")
        if challenge.opaque is not None:
            parts.append(f"opaque={quote(challenge.opaque)}")
        return "Digest " + ", ".join(parts)


class DigestClient:
    """Answers challenges with one pair of credentials: for a dialog, or for a registration.

    What was answered once is answered beforehand in later requests, for as long as the nonce holds.
    """

    __slots__ = ("_credentials", "_sessions", "_token", "ack_lines")

    def __init__(self, credentials: Credentials, token: Callable[[], str]) -> None:
        """``token`` makes client nonces."""
        self._credentials = credentials
        self._token = token
        self._sessions: OrderedDict[tuple[int, str], _Session] = OrderedDict()
        self.ack_lines: tuple[tuple[str, str], ...] = ()
        """What the last INVITE was signed with: the ACK for its 2xx repeats it (13.2.2.4)."""

    def knows(self, realm: str) -> bool:
        """True if our credentials are for that realm."""
        return self._credentials.realm in (None, realm)

    def sign(self, request: Request) -> None:
        """Put credentials into a request, for each realm that has asked before."""
        for name in CREDENTIAL_HEADERS:
            request.headers.remove(name)
        lines = tuple(
            (_ANSWER_OF[status], session.answer(request))
            for (status, _), session in self._sessions.items()
        )
        for name, value in lines:
            request.headers.add(name, value)
        if request.method == "INVITE":
            self.ack_lines = lines

    def take(self, status: int, challenge: Challenge) -> None:
        """From now on answer this challenge; the longest unused realm makes room."""
        key = (status, challenge.realm)
        self._sessions[key] = _Session(challenge, self._credentials, self._token())
        self._sessions.move_to_end(key)
        while len(self._sessions) > MAX_REALMS:
            self._sessions.popitem(last=False)


class AuthAttempt:
    """One request of ours and its repetitions: which challenges may still be answered.

    Each realm gets one answer, and one more if it says that the nonce of that was stale.
    """

    __slots__ = ("_answered", "_client")

    def __init__(self, client: DigestClient) -> None:
        self._client = client
        self._answered: dict[tuple[int, str], int] = {}

    def answers(self, response: Response) -> bool:
        """True: send the request again, signed. False: what the response says stands."""
        if response.status not in _CHALLENGE_OF:
            return False
        fresh = False
        for challenge in challenges_of(response):
            key = (response.status, challenge.realm)
            tries = self._answered.get(key, 0)
            full = tries == 0 and len(self._answered) >= MAX_REALMS
            if full or not self._client.knows(challenge.realm):
                continue
            if tries == 0 or (tries == 1 and challenge.stale):
                self._answered[key] = tries + 1
                self._client.take(response.status, challenge)
                fresh = True
        return fresh


# The server


class Outcome(Enum):
    """What came of a request's credentials."""

    GOOD = auto()
    MISSING = auto()
    """None for our realm: challenge."""

    STALE = auto()
    """Right, but the nonce is too old or was used before: challenge with stale=true."""

    WRONG = auto()
    """Unknown user, or wrong password."""

    MALFORMED = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """``user`` is the name that was claimed, or empty."""

    outcome: Outcome
    user: str = ""


Lookup = Callable[[str, Algorithm], str | None]
"""The HA1 of a user for an algorithm, None if there is no such user (or no such HA1)."""


def lookup_of(credentials: Iterable[Credentials], realm: str) -> Lookup:
    """A look-up in a fixed list, which keeps HA1s in the place of passwords."""
    table = {
        (item.user, algorithm): item.ha1(realm, algorithm)
        for item in credentials
        for algorithm in _STRENGTH
    }
    return lambda user, algorithm: table.get((user, algorithm))


class Challenger:
    """Challenges requests and judges the answers, without state for those that give none.

    A nonce is its time, a random part and a MAC over both, by a key that each process makes. Only
    nonces that were used rightly are remembered, for their counts: at most ``max_nonces``, and one
    that has to make room takes every older one with it (they are stale from then on).
    """

    def __init__(
        self,
        realm: str,
        lookup: Lookup,
        timers: Timers,
        *,
        algorithms: tuple[Algorithm, ...] = (Algorithm.SHA_256, Algorithm.MD5),
        lifetime_s: int = 300,
        max_nonces: int = 4_096,
    ) -> None:
        """``algorithms`` are offered in this order, which RFC 8760 2.4 has clients follow."""
        self.realm = realm
        self._lookup = lookup
        self._timers = timers
        self._algorithms = tuple(item for item in algorithms if item in _STRENGTH)
        self._lifetime_ms = 1_000 * lifetime_s
        self._max_nonces = max_nonces
        self._key = secrets.token_bytes(32)
        self._used: dict[str, _Window] = {}
        self._oldest_ms = 0

    def challenge(self, *, stale: bool = False, proxy: bool = False) -> tuple[tuple[str, str], ...]:
        """Header lines for a 401, or a 407 if ``proxy``."""
        name = _CHALLENGE_OF[407 if proxy else 401]
        tail = ", stale=true" if stale else ""
        return tuple(
            (
                name,
                f'Digest realm={quote(self.realm)}, nonce="{self._new_nonce()}", '
                f'algorithm={algorithm.value}, qop="auth"{tail}',
            )
            for algorithm in self._algorithms
        )

    def check(self, request: Request, *, proxy: bool = False) -> Verdict:
        """Judge the credentials of a request for our realm."""
        values = request.headers.all(_ANSWER_OF[407 if proxy else 401])[:MAX_CHALLENGES]
        for value in values:
            for fields in _read_schemes(value):
                if fields.get("realm") == self.realm:
                    return self._judge(request, fields)
        return Verdict(Outcome.MISSING)

    def _judge(self, request: Request, fields: Mapping[str, str]) -> Verdict:
        user = fields.get("username", "")
        known = _read_algorithm(fields.get("algorithm"))
        count = _read_count(fields)
        complete = user and all(fields.get(name) for name in ("nonce", "uri", "response"))
        if not complete or known is None or known[0] not in self._algorithms or count is None:
            return Verdict(Outcome.MALFORMED, user)
        if not self._is_right(request, fields, *known):
            return Verdict(Outcome.WRONG, user)
        fresh = self._is_fresh(fields["nonce"], count)
        return Verdict(Outcome.GOOD if fresh else Outcome.STALE, user)

    def _is_right(
        self, request: Request, fields: Mapping[str, str], algorithm: Algorithm, session: bool
    ) -> bool:
        secret = self._lookup(fields["username"], algorithm)
        ha1 = _NOBODY if secret is None else secret
        nonce, cnonce = fields["nonce"], fields.get("cnonce", "")
        if session:
            ha1 = _session_ha1(algorithm, ha1, nonce, cnonce)
        # The URI is the client's, not the request's: a proxy may have changed that one. What is
        # taken from another request is caught by the nonce count.
        expected = digest_of(
            algorithm,
            ha1,
            nonce=nonce,
            method=request.method,
            uri=fields["uri"],
            qop=fields.get("qop", "").lower(),
            nc=fields.get("nc", ""),
            cnonce=cnonce,
            body=request.body,
        )
        given = fields["response"].lower().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(expected.encode(), given) and secret is not None

    # Nonces: 12 hexadecimal digits of milliseconds, 16 random ones, 32 of the MAC.

    def _new_nonce(self) -> str:
        head = f"{self._timers.now_ms:012x}{secrets.token_hex(8)}"
        return head + self._mac(head)

    def _mac(self, head: str) -> str:
        return hmac.new(self._key, head.encode(), hashlib.sha256).hexdigest()[:32]

    def _made_ms(self, nonce: str) -> int | None:
        """When we made this nonce; None if we did not."""
        head, mac = nonce[:28], nonce[28:]
        if not nonce.isascii() or not hmac.compare_digest(self._mac(head), mac):
            return None
        return int(head[:12], 16)

    def _is_fresh(self, nonce: str, count: int) -> bool:
        made_ms = self._made_ms(nonce)
        if made_ms is None or self._timers.now_ms - made_ms >= self._lifetime_ms:
            return False
        window = self._used.get(nonce)
        if window is None:
            if made_ms < self._oldest_ms:
                return False
            window = self._remember(nonce, made_ms)
        return window.takes(count)

    def _remember(self, nonce: str, made_ms: int) -> _Window:
        if len(self._used) >= self._max_nonces:
            self._forget_older_half()
        window = self._used[nonce] = _Window(made_ms)
        return window

    def _forget_older_half(self) -> None:
        times = sorted(window.made_ms for window in self._used.values())
        self._oldest_ms = times[len(times) // 2] + 1
        self._used = {
            nonce: window
            for nonce, window in self._used.items()
            if window.made_ms >= self._oldest_ms
        }


class _Window:
    """The counts that were used with one nonce: the highest, and a bit for each of 64 below."""

    __slots__ = ("_highest", "_seen", "made_ms")

    WIDTH = 64

    def __init__(self, made_ms: int) -> None:
        self.made_ms = made_ms
        self._highest = 0
        self._seen = 0

    def takes(self, count: int) -> bool:
        """False if the count was used before, or lies so far back that nobody knows."""
        ahead = count - self._highest
        if ahead > 0:
            self._seen = ((self._seen << min(ahead, self.WIDTH)) | 1) & ((1 << self.WIDTH) - 1)
            self._highest = count
            return True
        bit = 1 << -ahead
        if -ahead >= self.WIDTH or self._seen & bit:
            return False
        self._seen |= bit
        return True


def _read_count(fields: Mapping[str, str]) -> int | None:
    """The nonce count; 1 for a client of RFC 2069, which may use a nonce once. None: malformed."""
    if "qop" not in fields:
        return 1
    text = fields.get("nc", "")
    known = fields["qop"].lower() in ("auth", "auth-int") and fields.get("cnonce")
    if not known or len(text) != 8 or text.strip(_HEX_DIGITS):
        return None
    return int(text, 16) or None
