"""Calls of ours when the other side is slow, forks or redirects; the peer is played by the test."""

import pytest
from ringwheel.media.sip.digest import Credentials
from ringwheel.media.sip.events import CallStateError
from ringwheel.media.sip.message import Headers, Response
from ringwheel.media.sip.redirect import TargetSet

OTHER = "10.0.0.7"


def invites(lone):
    return [p for p in lone.out if p.name == "INVITE"]


def redirect(lone, *contacts, status=302, of=-1):
    lone.reply(invites(lone)[of], status, "r", *(f"Contact: {c}" for c in contacts), Contact="")


class TestLateAnswers:
    """A 2xx that comes after we gave up is acknowledged and left, for 64*T1 (RFC 3261 13.2.2.4)."""

    def test_after_a_cancel_that_had_no_effect(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 180, "slow")
        call.hangup()
        lone.net.run(32_000)
        assert lone.handler.events[-1] == ("ended", "local", 487)
        lone.net.run(31_000)
        sent = len(lone.out)
        for _ in range(2):
            lone.reply(lone.out[0], 200, "slow", body=b"v=0")
        rest = [(p.name, p.message.to_tag) for p in lone.out[sent:]]
        assert rest == [("ACK", "slow"), ("BYE", "slow"), ("ACK", "slow")]
        assert lone.handler.names() == ["ringing", "ended"]
        lone.reply(lone.out[sent + 1], 200)
        lone.net.run(6_000)
        lone.net.assert_quiet()

    def test_after_an_invite_that_nobody_seemed_to_hear(self, lone):
        lone.dial()
        lone.net.run(32_000)
        assert lone.handler.events == [("ended", "error", 408)]
        sent = len(lone.out)
        lone.reply(lone.out[0], 200, "slow", body=b"v=0")
        assert [p.name for p in lone.out[sent:]] == ["ACK", "BYE"]
        assert lone.out[sent].message.uri == "sip:p@10.0.0.9:5060"
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_from_a_fork_after_another_has_refused(self, lone):
        lone.dial()
        lone.reply(lone.out[0], 486, "busy")
        lone.reply(lone.out[0], 200, "free", body=b"v=0")
        rest = [(p.name, p.message.to_tag) for p in lone.out[1:]]
        assert rest == [("ACK", "busy"), ("ACK", "free"), ("BYE", "free")]
        assert lone.handler.events == [("ended", "remote", 486)]
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_a_late_refusal_is_acknowledged(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 180, "slow")
        call.hangup()
        lone.net.run(40_000)
        for _ in range(2):
            lone.reply(lone.out[0], 487, "slow")
        assert [p.name for p in lone.out[-2:]] == ["ACK", "ACK"]
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_nothing_is_acknowledged_for_ever(self, lone):
        lone.dial()
        lone.net.run(64_001)
        sent = len(lone.out)
        lone.reply(lone.out[0], 200, "slow", body=b"v=0")
        assert len(lone.out) == sent
        lone.net.assert_quiet()


class TestCancel:
    def test_before_anybody_answered_and_nobody_ever_does(self, lone):
        call = lone.dial()
        call.hangup()
        lone.net.run(32_000)
        assert "CANCEL" not in lone.statuses()
        assert lone.handler.events == [("ended", "local", 487)]

    def test_before_anybody_answered_and_then_a_200(self, lone):
        call = lone.dial()
        call.hangup()
        lone.reply(lone.out[0], 200, body=b"v=0")
        assert lone.statuses() == ["INVITE", "ACK", "BYE"]
        assert lone.handler.events == [("ended", "local", 487)]

    def test_twice_is_sent_once(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 100, "")
        call.hangup()
        call.hangup()
        assert lone.statuses() == ["INVITE", "CANCEL"]


class TestForks:
    def test_each_tells_its_own_early_media(self, lone):
        heard = []
        lone.handler.on_ringing = lambda _, r: heard.append((r.status, r.to_tag, r.body))
        call = lone.dial()
        lone.reply(lone.out[0], 183, "one", body=b"v=0 one")
        lone.reply(lone.out[0], 183, "two", body=b"v=0 two")
        lone.reply(lone.out[0], 180, "two")
        assert heard == [(183, "one", b"v=0 one"), (183, "two", b"v=0 two"), (180, "two", b"")]
        assert lone.agent.dialogs == 2
        lone.reply(lone.out[0], 200, "two")
        assert lone.handler.events == [("answered", b"v=0 two")]
        assert (call.dialog.remote_tag, lone.agent.dialogs) == ("two", 1)

    def test_one_that_leaves_early_is_forgotten(self, lone):
        lone.dial()
        lone.reply(lone.out[0], 183, "one", body=b"v=0 one")
        lone.reply(lone.out[0], 180, "two")
        lone.reply(lone.out[0], 199, "one")
        assert lone.agent.dialogs == 1
        assert lone.handler.events == [("ringing", 183), ("ringing", 180), ("ringing", 199)]
        assert lone.statuses() == ["INVITE"]

    def test_no_more_than_sixteen_are_kept(self, lone):
        lone.dial()
        for number in range(100):
            lone.reply(lone.out[0], 183, f"fork{number}", body=b"v=0")
        assert lone.agent.dialogs == 16


class TestRedirects:
    def dial(self, lone, decide=None, **options):
        self.told = []

        def on_redirect(call, uri):
            self.told.append(uri)
            if decide is None:
                call.follow(lone.net.flow(OTHER))
            else:
                decide(call, uri)

        return lone.dial(on_redirect=on_redirect, **options)

    def test_not_followed_unless_asked_for(self, lone):
        call = lone.dial()
        redirect(lone, "<sip:b@b>;q=0.5, <sip:a@a>", "<sip:c@c>;q=0.7")
        cause = lone.handler.ended[call.id]
        assert (cause.status, cause.contacts) == (302, ("sip:a@a", "sip:c@c", "sip:b@b"))

    def test_the_best_target_is_called_with_the_ids_of_the_first(self, lone):
        call = self.dial(lone)
        redirect(lone, "<sip:b@b>;q=0.5", "<sip:a@10.0.0.7:5070?Subject=x>;q=0.9")
        first, again = (p.message for p in invites(lone))
        assert self.told == ["sip:a@10.0.0.7:5070"]
        assert (again.uri, invites(lone)[1].target) == ("sip:a@10.0.0.7:5070", OTHER)
        same = [(m.call_id, m.from_tag, m.headers.get("To"), m.body) for m in (first, again)]
        assert same[0] == same[1]
        assert (again.cseq, again.branch != first.branch) == (2, True)
        lone.reply(invites(lone)[1], 200, "answerer", body=b"v=0")
        assert lone.handler.events == [("answered", b"v=0")]
        assert call.dialog.local_cseq == 2

    def test_a_target_that_refuses_makes_room_for_the_next(self, lone):
        self.dial(lone)
        redirect(lone, "<sip:a@a>, <sip:b@b>;q=0.5")
        lone.reply(invites(lone)[1], 486)
        assert self.told == ["sip:a@a", "sip:b@b"]
        lone.reply(invites(lone)[2], 480)
        assert lone.handler.events == [("ended", "remote", 480)]

    def test_a_refusal_for_all_ends_it(self, lone):
        self.dial(lone)
        redirect(lone, "<sip:a@a>, <sip:b@b>;q=0.5")
        lone.reply(invites(lone)[1], 603)
        assert lone.handler.events == [("ended", "remote", 603)]

    def test_a_target_that_does_not_answer_makes_room_for_the_next(self, lone):
        self.dial(lone)
        redirect(lone, "<sip:a@a>, <sip:b@b>;q=0.5")
        lone.net.run(32_000)
        assert self.told == ["sip:a@a", "sip:b@b"]
        lone.net.run(64_000)
        assert lone.handler.events == [("ended", "error", 408)]
        lone.net.run(64_000)
        lone.net.assert_quiet()

    def test_never_in_circles(self, lone):
        self.dial(lone)
        redirect(lone, "<sip:a@a>")
        redirect(lone, "<sip:p@10.0.0.9:5060>, <SIP:a@A>")
        assert self.told == ["sip:a@a"]
        assert lone.handler.events == [("ended", "remote", 302)]

    def test_from_sips_to_sips_alone(self):
        targets = TargetSet("sips:a@a")
        lines = [("Contact", "<sip:b@b>, <sips:c@c>, <tel:+1>")]
        targets.add(Response(Headers(lines), status=302, reason=""))
        assert [targets.take(), targets.take()] == ["sips:c@c", None]

    def test_five_targets_at_most(self, lone):
        self.dial(lone)
        for number in range(20):
            if lone.handler.ended:
                break
            redirect(lone, f"<sip:{number}@a>")
        assert len(self.told) == 5
        assert lone.handler.events == [("ended", "remote", 302)]

    @pytest.mark.parametrize("status", [305, 380])
    def test_other_3xx_are_refusals(self, lone, status):
        self.dial(lone)
        redirect(lone, "<sip:a@a>", status=status)
        assert lone.handler.events == [("ended", "remote", status)]

    @pytest.mark.parametrize("contact", ["*", "<http://a>", "<sip:>", "<sip:a@a:99999>"])
    def test_targets_that_are_none(self, lone, contact):
        self.dial(lone)
        redirect(lone, contact)
        assert (self.told, lone.handler.events) == ([], [("ended", "remote", 302)])

    def test_a_target_may_be_left_out(self, lone):
        self.dial(lone, lambda call, uri: call.skip())
        redirect(lone, "<sip:a@a>, <sip:b@b>;q=0.5")
        assert self.told == ["sip:a@a", "sip:b@b"]
        assert lone.handler.events == [("ended", "remote", 302)]

    def test_the_decision_may_come_later(self, lone):
        call = self.dial(lone, lambda call, uri: None)
        redirect(lone, "<sip:a@a>")
        lone.net.run(1_000)
        assert lone.handler.events == []
        call.follow(lone.net.flow(OTHER))
        assert len(invites(lone)) == 2
        with pytest.raises(CallStateError):
            call.follow(lone.net.flow(OTHER))

    def test_a_decision_that_fails_leaves_the_target_out(self, lone):
        self.dial(lone, lambda call, uri: 1 / 0)
        redirect(lone, "<sip:a@a>, <sip:b@b>;q=0.5")
        assert self.told == ["sip:a@a", "sip:b@b"]
        assert lone.handler.events == [("ended", "remote", 302)]
        assert lone.agent.counters.as_dict()["handler_errors"] == 2

    def test_or_never(self, lone):
        call = self.dial(lone, lambda call, uri: None)
        redirect(lone, "<sip:a@a>")
        lone.net.run(180_000)
        assert lone.handler.events == [("ended", "error", 408)]
        assert not call.follow(lone.net.flow(OTHER))
        lone.net.assert_quiet()

    def test_given_up_between_two_targets(self, lone):
        call = self.dial(lone, lambda call, uri: None)
        redirect(lone, "<sip:a@a>")
        call.hangup()
        assert lone.handler.events == [("ended", "local", 487)]
        assert lone.statuses() == ["INVITE", "ACK"]

    def test_credentials_do_not_go_to_somebody_else(self, lone):
        self.dial(lone, credentials=Credentials("robot", "secret"))
        ask = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'
        lone.reply(lone.out[0], 401, "r", ask)
        redirect(lone, "<sip:a@10.0.0.7>")
        assert "Authorization" in invites(lone)[1].message.headers
        assert "Authorization" not in invites(lone)[2].message.headers
        lone.reply(invites(lone)[2], 401, "r", ask)
        assert lone.handler.events == [("ended", "remote", 401)]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("18000;duration=3600", 18_000),
        ("5 (in a meeting)", 5),
        ("9" * 30, 86_400),
        ("soon", None),
        ("", None),
    ],
)
def test_when_to_try_again_is_in_the_cause(lone, value, seconds):
    call = lone.dial()
    lone.reply(lone.out[0], 503, "full", f"Retry-After: {value}")
    cause = lone.handler.ended[call.id]
    assert (cause.status, cause.retry_after_s) == (503, seconds)
