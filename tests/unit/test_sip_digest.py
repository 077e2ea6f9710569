"""Digest authentication: vectors of the RFCs, hostile challenges, and the server's nonces."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringwheel.media._core import TimerWheel
from ringwheel.media.sip.digest import (
    Algorithm,
    AuthAttempt,
    Challenger,
    Credentials,
    DigestClient,
    Outcome,
    challenges_of,
    digest_of,
    lookup_of,
)
from ringwheel.media.sip.message import Headers, Request, Response

SECRET = "Circle of Life"
MUFASA = Credentials("Mufasa", SECRET)


def request(method="REGISTER", uri="sip:biloxi.example", lines=(), body=b""):
    return Request(Headers(lines), method=method, uri=uri, body=body)


def refusal(*challenges, status=401):
    name = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[status]
    lines = [(name, challenge) for challenge in challenges]
    return Response(Headers(lines), status=status, reason="")


def signed(client, **fields):
    message = request(**fields)
    client.sign(message)
    return message


def client_of(credentials=MUFASA):
    return DigestClient(credentials, lambda: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")


@pytest.mark.parametrize(
    ("algorithm", "password", "nonce", "cnonce", "expected"),
    [
        # RFC 7616 section 3.9.1.
        (
            Algorithm.MD5,
            SECRET,
            "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            "8ca523f5e9506fed4657c9700eebdbec",
        ),
        (
            Algorithm.SHA_256,
            SECRET,
            "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ],
)
def test_the_examples_of_rfc_7616(algorithm, password, nonce, cnonce, expected):
    ha1 = Credentials("Mufasa", password).ha1("http-auth@example.org", algorithm)
    fields = {"nonce": nonce, "method": "GET", "uri": "/dir/index.html"}
    answer = digest_of(algorithm, ha1, qop="auth", nc="00000001", cnonce=cnonce, **fields)
    assert answer == expected


def test_without_qop_it_is_the_digest_of_rfc_2069():
    client = client_of()
    client.take(401, challenges_of(refusal('Digest realm="r", nonce="n"'))[0])
    value = signed(client).headers.get("Authorization")
    ha1 = hashlib.md5(b"Mufasa:r:Circle of Life").hexdigest()
    ha2 = hashlib.md5(b"REGISTER:sip:biloxi.example").hexdigest()
    assert f'response="{hashlib.md5(f"{ha1}:n:{ha2}".encode()).hexdigest()}"' in value
    assert "qop" not in value
    assert "nc=" not in value


def test_no_password_in_any_text():
    for text in (repr(MUFASA), str(MUFASA), repr([MUFASA]), repr(client_of())):
        assert SECRET not in text


@pytest.mark.parametrize("user", ["", "a\r\nVia: x"])
def test_credentials_that_cannot_be_sent(user):
    with pytest.raises(ValueError, match="line break"):
        Credentials(user, "secret")


class TestChallenges:
    def test_the_strongest_that_we_know_is_taken(self):
        found = challenges_of(
            refusal(
                'Digest realm="r", nonce="a", algorithm=MD5, qop="auth"',
                'Digest realm="r", nonce="b", algorithm=SHA-256, qop="auth-int, auth"',
                'Digest realm="r", nonce="c", algorithm=SHA3, qop="auth"',
                'Basic realm="r"',
            )
        )
        (challenge,) = found
        assert (challenge.nonce, challenge.algorithm) == ("b", Algorithm.SHA_256)
        assert challenge.qop == "auth"

    def test_several_in_one_line(self):
        text = 'Basic realm="x", Digest realm="a", nonce="1", Digest nonce="2", realm="b", qop=auth'
        found = challenges_of(refusal(text))
        assert [(c.realm, c.nonce, c.qop) for c in found] == [("a", "1", ""), ("b", "2", "auth")]

    def test_commas_and_escapes_in_quotes(self):
        text = r'digest  Realm = "a, \"b\"" , nonce="x", opaque="", stale=TRUE, algorithm=md5-sess'
        (challenge,) = challenges_of(refusal(text))
        assert challenge.realm == 'a, "b"'
        assert (challenge.opaque, challenge.stale, challenge.session) == ("", True, True)
        client = client_of()
        client.take(401, challenge)
        value = signed(client).headers.get("Authorization")
        assert r'realm="a, \"b\""' in value
        assert 'opaque=""' in value
        assert "algorithm=md5-sess" in value
        assert "cnonce=" in value

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Digest",
            'Digest realm="r"',
            'Digest nonce="n"',
            'Digest realm="r", nonce=""',
            'Digest realm="r", nonce="n',
            'Digest realm="r", nonce="n", qop="auth-conf"',
            'Digest realm="r", nonce="n", algorithm=none',
            'Digest realm="r", nonce="' + "n" * 5_000 + '"',
        ],
    )
    def test_none_that_can_be_answered(self, text):
        assert challenges_of(refusal(text)) == []

    def test_no_more_than_eight_are_looked_at(self):
        many = [f'Digest realm="r{number}", nonce="n"' for number in range(100)]
        assert len(challenges_of(refusal(*many))) == 8
        client = client_of()
        assert AuthAttempt(client).answers(refusal(*many))
        assert len(signed(client).headers.all("Authorization")) == 4

    @given(st.text(max_size=200), st.sampled_from([401, 407]))
    def test_whatever_comes_is_read_or_left(self, text, status):
        clean = text.replace("\r", "").replace("\n", "")
        attempt = AuthAttempt(client_of())
        for prefix in ("", "Digest ", 'Digest realm="r", nonce="n", '):
            attempt.answers(refusal(prefix + clean, status=status))


class TestAttempts:
    CHALLENGE = 'Digest realm="r", nonce="{}", qop="auth"'

    def test_a_realm_gets_one_answer(self):
        attempt = AuthAttempt(client_of())
        assert attempt.answers(refusal(self.CHALLENGE.format("one")))
        assert not attempt.answers(refusal(self.CHALLENGE.format("two")))

    def test_and_one_more_if_the_nonce_was_stale(self):
        attempt = AuthAttempt(client_of())
        assert attempt.answers(refusal(self.CHALLENGE.format("one")))
        stale = self.CHALLENGE + ", stale=true"
        assert attempt.answers(refusal(stale.format("two")))
        assert not attempt.answers(refusal(stale.format("three")))

    def test_a_proxy_and_the_server_behind_it(self):
        client = client_of()
        attempt = AuthAttempt(client)
        assert attempt.answers(refusal(self.CHALLENGE.format("one"), status=407))
        assert attempt.answers(refusal(self.CHALLENGE.format("two")))
        message = signed(client, method="INVITE")
        assert len(message.headers.all("Proxy-Authorization")) == 1
        assert len(message.headers.all("Authorization")) == 1
        names = [name for name, _ in client.ack_lines]
        assert names == ["Proxy-Authorization", "Authorization"]

    def test_credentials_of_one_realm_are_for_no_other(self):
        attempt = AuthAttempt(client_of(Credentials("Mufasa", SECRET, realm="ours")))
        assert not attempt.answers(refusal('Digest realm="theirs", nonce="n"'))
        assert attempt.answers(refusal('Digest realm="ours", nonce="n"'))

    def test_the_nonce_count_goes_on(self):
        client = client_of()
        AuthAttempt(client).answers(refusal(self.CHALLENGE.format("one")))
        values = [signed(client).headers.get("Authorization") for _ in range(3)]
        assert [value.partition("nc=")[2][:8] for value in values] == [
            "00000001",
            "00000002",
            "00000003",
        ]

    def test_a_body_is_signed_where_nothing_else_is_offered(self):
        client = client_of()
        AuthAttempt(client).answers(refusal('Digest realm="r", nonce="n", qop="auth-int"'))
        bodies = {signed(client, body=body).headers.get("Authorization") for body in (b"a", b"b")}
        assert all("qop=auth-int" in value for value in bodies)

    def test_other_refusals_are_none_of_its_business(self):
        assert not AuthAttempt(client_of()).answers(
            Response(Headers(), status=403, reason="Forbidden")
        )


class Server:
    """A challenger, and a client that answers it."""

    def __init__(self, *, credentials=MUFASA, **options):
        self.wheel = TimerWheel(0)
        lookup = lookup_of([MUFASA], "ringwheel")
        self.challenger = Challenger("ringwheel", lookup, self.wheel, **options)
        self.client = client_of(credentials)

    def challenge(self, which=0, **options):
        name, value = self.challenger.challenge(**options)[which]
        response = Response(Headers([(name, value)]), status=401, reason="")
        AuthAttempt(self.client).answers(response)
        return value

    def check(self, message=None):
        return self.challenger.check(message or signed(self.client)).outcome


@pytest.fixture
def server():
    return Server()


class TestChallenger:
    @pytest.mark.parametrize("which", [0, 1])
    def test_the_right_password(self, server, which):
        assert server.check(request()) is Outcome.MISSING
        value = server.challenge(which)
        assert f"algorithm={['SHA-256', 'MD5'][which]}" in value
        message = signed(server.client)
        verdict = server.challenger.check(message)
        assert (verdict.outcome, verdict.user) == (Outcome.GOOD, "Mufasa")

    @pytest.mark.parametrize(("user", "password"), [("Mufasa", "guess"), ("Scar", SECRET)])
    def test_a_wrong_password_and_an_unknown_user_look_alike(self, user, password):
        server = Server(credentials=Credentials(user, password))
        server.challenge()
        assert server.check() is Outcome.WRONG

    def test_a_replay_is_stale(self, server):
        server.challenge()
        message = signed(server.client)
        assert server.check(message) is Outcome.GOOD
        assert server.check(message) is Outcome.STALE
        assert server.check() is Outcome.GOOD

    def test_counts_may_come_out_of_order_within_a_window(self, server):
        server.challenge()
        messages = [signed(server.client) for _ in range(70)]
        assert server.check(messages[69]) is Outcome.GOOD
        assert server.check(messages[10]) is Outcome.GOOD
        assert server.check(messages[10]) is Outcome.STALE
        assert server.check(messages[3]) is Outcome.STALE  # too far back to know

    def test_an_old_nonce_is_stale(self, server):
        server.challenge()
        server.wheel.advance(299_999)
        assert server.check() is Outcome.GOOD
        server.wheel.advance(300_000)
        assert server.check() is Outcome.STALE
        assert "stale=true" in server.challenge(stale=True)
        assert server.check() is Outcome.GOOD

    def test_a_nonce_of_another_process_is_stale(self, server):
        other = Server()
        other.challenge()
        assert server.check(signed(other.client)) is Outcome.STALE

    def test_a_client_without_qop_uses_a_nonce_once(self, server):
        value = server.challenge(1).replace(', qop="auth"', "")
        client = client_of()
        AuthAttempt(client).answers(refusal(value))
        assert server.check(signed(client)) is Outcome.GOOD
        assert server.check(signed(client)) is Outcome.STALE

    def test_nonces_are_remembered_up_to_a_bound(self):
        server = Server(max_nonces=4)
        messages = []
        for now_ms in range(20):
            server.wheel.advance(now_ms)
            server.challenge()
            messages.append(signed(server.client))
            assert server.check(messages[-1]) is Outcome.GOOD
        assert {server.check(message) for message in messages} == {Outcome.STALE}

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=00000000"),
            ("nc=00000001", "nc=0x000001"),
            ("qop=auth", "qop=other"),
            ("algorithm=SHA-256", "algorithm=SHA-1"),
            ('uri="sip:biloxi.example"', 'uri=""'),
            ("cnonce=", "cn="),
        ],
    )
    def test_malformed_answers(self, server, old, new):
        server.challenge()
        message = signed(server.client)
        value = message.headers.get("Authorization")
        assert old in value
        message.headers.set("Authorization", value.replace(old, new))
        assert server.check(message) is Outcome.MALFORMED

    def test_another_method_or_realm(self, server):
        server.challenge()
        message = signed(server.client)
        message.method = "INVITE"
        assert server.check(message) is Outcome.WRONG
        value = message.headers.get("Authorization").replace('realm="ringwheel"', 'realm="x"')
        message.headers.set("Authorization", value)
        assert server.check(message) is Outcome.MISSING

    @given(st.text(max_size=300))
    def test_whatever_comes_gets_a_verdict(self, text):
        clean = text.replace("\r", "").replace("\n", "")
        server = Server()
        for prefix in ("", "Digest ", 'Digest realm="ringwheel", username="u", '):
            full = prefix + 'nonce="n", uri="u", response="r", ' + clean
            for value in (prefix + clean, full):
                message = request(lines=[("Authorization", value)])
                assert server.check(message) is not Outcome.GOOD
