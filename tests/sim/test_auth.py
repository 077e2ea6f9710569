"""Challenges to requests of ours (RFC 3261 22), in virtual time; the peer is played by the test."""

import pytest
from ringwheel.media.sip.digest import Credentials

CREDENTIALS = Credentials("robot", "very secret")
CHALLENGE = 'Digest realm="trunk", nonce="{}", algorithm={}, qop="auth"'
ASK = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}
GIVE = {401: "Authorization", 407: "Proxy-Authorization"}


def challenge(lone, packet, nonce="one", status=401, tag="refuser", more="", algorithm="MD5"):
    """The peer wants credentials for a request."""
    line = f"{ASK[status]}: {CHALLENGE.format(nonce, algorithm)}{more}"
    lone.reply(packet, status, tag, line)


def sent(lone, method):
    return [p for p in lone.out if p.name == method]


class User:
    """Notes what becomes of a request."""

    def __init__(self):
        self.heard = []

    def on_response(self, response):
        self.heard.append(response.status)

    def on_timeout(self):
        self.heard.append("timeout")


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_an_invite_is_sent_again_with_credentials(lone, status, algorithm):
    call = lone.dial(credentials=CREDENTIALS)
    challenge(lone, lone.out[0], status=status, algorithm=algorithm)
    first, again = (p.message for p in sent(lone, "INVITE"))
    assert lone.statuses() == ["INVITE", "ACK", "INVITE"]
    assert (again.call_id, again.from_tag, again.to_tag) == (first.call_id, first.from_tag, None)
    assert (again.cseq, again.body) == (2, first.body)
    assert again.branch != first.branch
    value = again.headers.get(GIVE[status])
    assert 'username="robot"' in value
    assert f"algorithm={algorithm}" in value
    assert "very secret" not in value
    lone.reply(lone.out[-1], 200, "answerer", body=b"v=0")
    assert lone.handler.events == [("answered", b"v=0")]
    ack = lone.last
    assert (ack.cseq, ack.to_tag, ack.headers.get(GIVE[status])) == (2, "answerer", value)
    call.hangup()
    lone.reply(lone.out[-1], 200)
    lone.net.run(64_000)
    lone.net.assert_quiet()


def test_a_wrong_password_ends_the_call(lone):
    lone.dial(credentials=CREDENTIALS)
    challenge(lone, lone.out[0])
    challenge(lone, sent(lone, "INVITE")[-1], "two")
    assert lone.statuses() == ["INVITE", "ACK", "INVITE", "ACK"]
    assert lone.handler.events == [("ended", "remote", 401)]


def test_a_stale_nonce_gets_one_more_try(lone):
    lone.dial(credentials=CREDENTIALS)
    challenge(lone, lone.out[0])
    challenge(lone, sent(lone, "INVITE")[-1], "two", more=", stale=true")
    assert 'nonce="two"' in sent(lone, "INVITE")[-1].message.headers.get("Authorization")
    challenge(lone, sent(lone, "INVITE")[-1], "three", more=", stale=true")
    assert len(sent(lone, "INVITE")) == 3
    assert lone.handler.events == [("ended", "remote", 401)]


def test_without_credentials_a_challenge_is_the_end(lone):
    lone.dial()
    challenge(lone, lone.out[0])
    assert lone.handler.events == [("ended", "remote", 401)]


def test_a_call_that_was_given_up_is_not_tried_again(lone):
    call = lone.dial(credentials=CREDENTIALS)
    call.hangup()
    challenge(lone, lone.out[0])
    assert lone.statuses() == ["INVITE", "ACK"]
    assert lone.handler.events == [("ended", "local", 487)]


def test_the_second_invite_waits_for_a_provisional_response_of_its_own(lone):
    call = lone.dial(credentials=CREDENTIALS)
    lone.reply(lone.out[0], 183, "early")
    challenge(lone, lone.out[0])
    assert lone.agent.dialogs == 0
    call.hangup()
    assert sent(lone, "CANCEL") == []
    lone.reply(sent(lone, "INVITE")[-1], 180)
    (cancel,) = sent(lone, "CANCEL")
    assert cancel.message.cseq == 2
    lone.reply(sent(lone, "INVITE")[-1], 487)
    assert lone.handler.events[-1] == ("ended", "local", 487)


@pytest.fixture
def answered(lone):
    """A call that was answered without a challenge."""
    call = lone.dial(credentials=CREDENTIALS)
    lone.reply(lone.out[0], 200, "answerer", body=b"v=0")
    return call


def test_a_bye_is_sent_again_with_credentials(lone, answered):
    answered.hangup()
    challenge(lone, sent(lone, "BYE")[0], status=407)
    first, again = (p.message for p in sent(lone, "BYE"))
    assert (first.cseq, again.cseq, again.to_tag) == (2, 3, "answerer")
    assert "nc=00000001" in again.headers.get("Proxy-Authorization")
    assert lone.agent.dialogs == 1
    lone.reply(sent(lone, "BYE")[1], 200)
    assert lone.agent.dialogs == 0


def test_a_reinvite_is_sent_again_and_what_follows_has_credentials(lone, answered):
    answered.reinvite(b"v=0 hold")
    challenge(lone, sent(lone, "INVITE")[-1])
    assert lone.last.body == b"v=0 hold"
    lone.reply(lone.out[-1], 200, "answerer", body=b"v=0 held")
    assert lone.handler.events[-1] == ("reinvited", 200, b"v=0 held")
    assert lone.last.headers.get("Authorization") == lone.out[-2].message.headers.get(
        "Authorization"
    )
    answered.hangup()
    assert "nc=00000002" in lone.last.headers.get("Authorization")


def test_a_reinvite_that_is_refused_again_leaves_the_session(lone, answered):
    answered.reinvite(b"v=0 hold")
    for _ in range(2):
        challenge(lone, sent(lone, "INVITE")[-1])
    assert lone.handler.events[-1] == ("reinvited", 401, None)


class TestOutsideOfDialogs:
    def ask(self, lone, **options):
        user = User()
        flow = lone.net.flow("10.0.0.9")
        pending = lone.agent.request(
            "OPTIONS", "sip:10.0.0.9", flow, from_uri="sip:u@ua", user=user, **options
        )
        return user, pending

    def test_a_request_and_its_answer(self, lone):
        user, _ = self.ask(lone, headers=[("X-Why", "alive?")], body=b"x")
        message = lone.last
        assert (message.method, message.uri, message.cseq) == ("OPTIONS", "sip:10.0.0.9", 1)
        assert message.headers.get("X-Why") == "alive?"
        assert (message.headers.get("To"), message.body) == ("<sip:10.0.0.9>", b"x")
        lone.reply(lone.out[-1], 200)
        assert user.heard == [200]
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_nobody_there(self, lone):
        user, _ = self.ask(lone)
        lone.net.run(32_000)
        assert user.heard == ["timeout"]
        lone.net.assert_quiet()

    def test_a_challenge_is_answered(self, lone):
        user, _ = self.ask(lone, credentials=CREDENTIALS)
        challenge(lone, lone.out[-1])
        assert (lone.last.cseq, lone.last.call_id) == (2, lone.out[0].message.call_id)
        lone.reply(lone.out[-1], 200)
        assert user.heard == [200]

    def test_a_challenge_without_credentials_is_told(self, lone):
        user, _ = self.ask(lone)
        challenge(lone, lone.out[-1])
        assert user.heard == [401]

    def test_what_is_forgotten_tells_nobody(self, lone):
        user, pending = self.ask(lone, credentials=CREDENTIALS)
        pending.forget()
        challenge(lone, lone.out[-1])
        assert user.heard == []
        assert len(lone.out) == 1

    def test_nothing_malformed_goes_out(self, lone):
        with pytest.raises(ValueError, match="line break"):
            self.ask(lone, headers=[("X-A", "b\r\nVia: c")])
        assert lone.out == []
