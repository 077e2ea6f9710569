"""Reliable provisional responses in virtual time (RFC 3262), and offers and answers in them."""

import pytest
from ringwheel.media.sip.events import CallStateError, Refuse

CALLER, CALLEE = "10.0.0.1", "10.0.0.2"
CAN = "Supported: 100rel"
MUST = "Require: 100rel"


def rseq(packet):
    return int(packet.message.headers.get("RSeq"))


@pytest.fixture
def ringing(pair):
    """A call between two of ours that the callee has not answered: (pair, call, robot)."""
    pair.there.answer = None

    def dial(sdp=b"v=0 offer"):
        call = pair.dial(sdp)
        pair.net.run(10)
        return call, pair.there.calls[-1]

    return dial


class TestBetweenOurs:
    def test_early_media_is_agreed_on_before_the_answer(self, pair, ringing):
        _call, robot = ringing()
        robot.ring(183, b"v=0 early")
        robot.accept(b"v=0 early")  # waits for the PRACK
        pair.net.run(10)
        assert pair.net.trace() == [
            f"{CALLER}>{CALLEE} INVITE",
            f"{CALLEE}>{CALLER} 183 INVITE",
            f"{CALLER}>{CALLEE} PRACK",
            f"{CALLEE}>{CALLER} 200 PRACK",
            f"{CALLEE}>{CALLER} 200 INVITE",
            f"{CALLER}>{CALLEE} ACK",
        ]
        progress, prack = pair.net.sent("183 INVITE")[0], pair.net.sent("PRACK")[0].message
        assert progress.message.headers.get("Require") == "100rel"
        assert prack.headers.get("RAck") == f"{rseq(progress)} 1 INVITE"
        assert prack.cseq == 2
        assert pair.net.sent("200 INVITE")[0].message.body == b""  # RFC 3262 5: it is agreed
        assert pair.here.events == [("ringing", 183), ("answered", b"v=0 early")]
        assert pair.there.events == [("invite", b"v=0 offer"), ("ack", None)]
        robot.hangup()
        pair.finish()

    def test_our_bye_counts_on_from_the_prack(self, pair, ringing):
        call, robot = ringing()
        robot.ring(183, b"v=0 early")
        pair.net.run(10)
        robot.accept(b"v=0 early")
        pair.net.run(10)
        call.hangup()
        pair.net.run(10)
        assert pair.net.sent("BYE")[0].message.cseq == 3
        assert pair.there.events[-1] == ("ended", "remote", 200)
        pair.finish()

    def test_an_offer_of_ours_is_answered_by_prack(self, pair, ringing):
        pair.here.offer_reply = b"v=0 callers answer"
        _call, robot = ringing(sdp=None)
        robot.ring(183, b"v=0 our offer")
        pair.net.run(10)
        assert pair.net.sent("PRACK")[0].message.body == b"v=0 callers answer"
        assert pair.there.events == [("invite", None), ("answer", b"v=0 callers answer")]
        robot.accept(b"v=0 our offer")
        pair.net.run(10)
        assert pair.net.sent("ACK")[0].message.body == b""
        assert pair.there.events[-1] == ("ack", None)
        assert pair.here.names() == ["offer", "ringing", "answered"]
        robot.hangup()
        pair.finish()

    def test_an_offer_that_we_cannot_answer_cancels_the_call(self, pair, ringing):
        pair.here.offer_reply = Refuse(488)
        _call, robot = ringing(sdp=None)
        robot.ring(183, b"v=0 our offer")
        pair.net.run(100)
        assert pair.here.events[-1] == ("ended", "error", 488)
        assert pair.there.events[-1] == ("ended", "remote", 487)
        pair.finish()

    @pytest.mark.parametrize("lost", ["183 INVITE", "PRACK", "200 PRACK"])
    def test_any_message_may_be_lost(self, pair, ringing, lost):
        left = [lost, lost]

        def link(packet):
            if packet.name in left:
                left.remove(packet.name)
                return []
            return [1]

        _call, robot = ringing()
        pair.net.link = link
        robot.ring(183, b"v=0 early")
        robot.accept(b"v=0 early")
        pair.net.run(5_000)
        assert pair.here.names() == ["ringing", "answered"]
        assert pair.there.names() == ["invite", "ack"]
        robot.hangup()
        pair.finish()

    def test_one_after_the_other(self, pair, ringing):
        _call, robot = ringing()
        pair.net.link = lambda packet: [] if packet.name == "PRACK" else [1]
        robot.ring(reliable=True)
        robot.ring(183, b"v=0 early")
        robot.ring(182, reliable=True)
        pair.net.run(100)
        assert pair.net.sent("183 INVITE") == []
        pair.net.link = lambda packet: [1]
        pair.net.run(1_000)
        sent = [pair.net.sent(name)[0] for name in ("180 INVITE", "183 INVITE", "182 INVITE")]
        assert [rseq(packet) - rseq(sent[0]) for packet in sent] == [0, 1, 2]
        assert pair.here.events == [("ringing", 180), ("ringing", 183), ("ringing", 182)]
        robot.reject(486)
        pair.finish()

    def test_ringing_for_long_goes_on_reliably(self, pair, ringing):
        _call, robot = ringing()
        robot.ring(reliable=True)
        pair.net.run(125_000)
        assert [rseq(p) - rseq(pair.net.sent("180 INVITE")[0]) for p in pair.net.sent("180 INVITE")
                ] == [0, 1, 2]  # fmt: skip
        assert len(pair.net.sent("PRACK")) == 3
        robot.reject(486)
        pair.finish()

    def test_no_more_than_a_few_wait(self, pair, ringing):
        _call, robot = ringing()
        pair.net.link = lambda packet: []
        for _ in range(9):
            robot.ring(reliable=True)
        with pytest.raises(CallStateError):
            robot.ring(reliable=True)
        pair.net.link = lambda packet: [1]
        robot.reject(486)
        pair.finish()


class TestCallee:
    """The peer calls us."""

    def invite(self, lone, *lines, body=b"v=0 offer"):
        lone.handler.answer = None
        lone.send("INVITE sip:u@ua", *lines, body=body)
        return lone.handler.calls[0]

    def prack(self, lone, rack, *lines, cseq=2, **fields):
        to = lone.out[0].message.headers.get("To")
        via = f"SIP/2.0/UDP peer;branch=z9hG4bKprack{cseq};rport"
        fields = {"To": to, "CSeq": f"{cseq} PRACK", "Via": via} | fields
        lone.send("PRACK sip:u@ua", f"RAck: {rack}", *lines, **fields)
        return lone.last

    def test_sent_again_until_it_is_given_up(self, lone):
        call = self.invite(lone, MUST)
        call.ring()
        first = lone.out[0].message.to_bytes()
        lone.net.run(31_999)
        assert lone.net.times("180 INVITE") == [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]
        assert {p.message.to_bytes() for p in lone.net.sent("180 INVITE")} == {first}
        lone.net.run(1)
        assert lone.out[-1].name == "504 INVITE"
        assert lone.handler.events[-1] == ("ended", "error", 504)
        assert lone.agent.counters.as_dict()["prack_timeouts"] == 1
        lone.net.run(40_000)
        lone.net.assert_quiet()

    @pytest.mark.parametrize(
        ("lines", "sdp", "reliable", "sent"),
        [
            ([], b"v=0", None, False),
            ([CAN], None, None, False),
            ([CAN], b"v=0", None, True),
            ([CAN], b"v=0", False, False),
            ([CAN], None, True, True),
            ([], None, True, False),
            ([MUST], None, None, True),
            ([MUST], None, False, True),
            (["Supported: timer, 100REL"], b"v=0", None, True),
        ],
    )
    def test_which_are_reliable(self, lone, lines, sdp, reliable, sent):
        call = self.invite(lone, *lines)
        call.ring(183, sdp, reliable=reliable)
        assert (lone.last.headers.get("RSeq") is not None) == sent
        call.reject(486)

    def test_no_offer_of_ours_to_whom_cannot_answer_it(self, lone):
        call = self.invite(lone, body=b"")
        with pytest.raises(CallStateError):
            call.ring(183, b"v=0 offer")
        call.reject(486)

    @pytest.mark.parametrize(
        "change",
        [
            "{r2} 1 INVITE",
            "{r} 2 INVITE",
            "{r} 1 BYE",
            "{r} 1",
            "x 1 INVITE",
            "",
            "{r} -1 INVITE",
        ],
    )
    def test_a_prack_for_nothing_gets_481(self, lone, change):
        call = self.invite(lone, MUST)
        call.ring()
        rack = change.format(r=rseq(lone.out[0]), r2=rseq(lone.out[0]) + 1)
        assert self.prack(lone, rack).status == 481
        lone.net.run(500)
        assert lone.statuses()[-1] == "180 INVITE"  # it is still waited for
        assert lone.agent.counters.as_dict()["rejected_rack"] == 1
        call.reject(486)

    def test_a_second_prack_gets_481_and_a_repeated_one_the_same_200(self, lone):
        call = self.invite(lone, MUST)
        call.ring()
        rack = f"{rseq(lone.out[0])} 1 INVITE"
        assert self.prack(lone, rack).status == 200
        assert self.prack(lone, rack).status == 200
        assert self.prack(lone, rack, cseq=3).status == 481
        lone.net.run(10_000)
        assert lone.net.times("180 INVITE") == [0]
        call.reject(486)

    def test_a_prack_that_owes_an_answer(self, lone):
        call = self.invite(lone, CAN, body=b"")
        call.ring(183, b"v=0 offer")
        rack = f"{rseq(lone.out[0])} 1 INVITE"
        assert self.prack(lone, rack).status == 400
        assert self.prack(lone, rack, cseq=3, body=b"v=0 answer").status == 200
        assert lone.handler.events == [("invite", None), ("answer", b"v=0 answer")]
        call.reject(486)

    def test_a_prack_with_an_offer(self, lone):
        call = self.invite(lone, CAN)
        call.ring(183, b"v=0 answer")
        answer = self.prack(lone, f"{rseq(lone.out[0])} 1 INVITE", body=b"v=0 second offer")
        assert (answer.status, answer.body) == (200, b"v=0 reply")
        assert lone.handler.events[-1] == ("offer", b"v=0 second offer")
        call.accept(b"v=0 answer")
        assert (lone.last.status, lone.last.body) == (200, b"")
        call.hangup()

    def test_a_prack_with_an_offer_while_theirs_is_open_gets_500(self, lone):
        call = self.invite(lone, MUST)
        call.ring()
        answer = self.prack(lone, f"{rseq(lone.out[0])} 1 INVITE", body=b"v=0 too soon")
        assert answer.status == 500
        assert 0 <= int(answer.headers.get("Retry-After")) <= 10
        assert lone.handler.names() == ["invite"]
        call.reject(486)

    def test_a_prack_that_requires_what_we_have_not(self, lone):
        call = self.invite(lone, MUST)
        call.ring()
        rack = f"{rseq(lone.out[0])} 1 INVITE"
        assert self.prack(lone, rack, "Require: magic").status == 420
        assert self.prack(lone, rack, cseq=3).status == 200
        call.reject(486)

    def test_the_200_does_not_wait_for_what_describes_nothing(self, lone):
        call = self.invite(lone, MUST)
        call.ring()
        call.accept(b"v=0 answer")
        assert (lone.last.status, lone.last.body) == (200, b"v=0 answer")
        assert self.prack(lone, f"{rseq(lone.out[0])} 1 INVITE").status == 200
        lone.net.run(2_000)
        assert len(lone.net.sent("180 INVITE")) == 1
        call.hangup()

    def test_the_200_waits_for_a_description_that_waits_itself(self, lone):
        call = self.invite(lone, CAN)
        call.ring(reliable=True)
        call.ring(183, b"v=0 answer")
        call.accept(b"v=0 answer")
        number = rseq(lone.out[0])
        self.prack(lone, f"{number} 1 INVITE")
        assert lone.statuses()[-2:] == ["200 PRACK", "183 INVITE"]
        self.prack(lone, f"{number + 1} 1 INVITE", cseq=3)
        assert lone.statuses()[-2:] == ["200 PRACK", "200 INVITE"]
        call.hangup()

    def test_hangup_while_the_answer_waits(self, lone):
        call = self.invite(lone, CAN)
        call.ring(183, b"v=0 answer")
        call.accept(b"v=0 answer")
        with pytest.raises(CallStateError):
            call.accept(b"v=0 twice")
        call.hangup()
        assert lone.statuses() == ["183 INVITE", "480 INVITE"]
        lone.net.run(40_000)
        lone.net.assert_quiet()

    def test_cancel_while_a_prack_is_awaited(self, lone):
        call = self.invite(lone, CAN)
        call.ring(183, b"v=0 answer")
        lone.send("CANCEL sip:u@ua")
        assert call.ended
        lone.net.run(40_000)
        assert len(lone.net.sent("183 INVITE")) == 1
        lone.net.assert_quiet()


class TestCaller:
    """We call the peer."""

    def progress(self, lone, number, *lines, status=183, tag="t1", body=b""):
        lone.reply(lone.out[0], status, tag, MUST, f"RSeq: {number}", *lines, body=body)

    def test_gaps_and_retransmissions_are_neither_told_nor_acknowledged(self, lone):
        call = lone.dial()
        for number in (7, 7, 9, 8, 7, 9):
            self.progress(lone, number)
        racks = [p.message.headers.get("RAck") for p in lone.net.sent("PRACK")]
        assert racks == ["7 1 INVITE", "8 1 INVITE", "9 1 INVITE"]
        assert [p.message.cseq for p in lone.net.sent("PRACK")] == [2, 3, 4]
        assert lone.handler.names() == ["ringing"] * 3
        call.hangup()

    @pytest.mark.parametrize("number", ["0", "x", "-1", "99999999999", ""])
    def test_a_malformed_rseq_makes_no_prack(self, lone, number):
        call = lone.dial()
        self.progress(lone, number)
        assert lone.net.sent("PRACK") == []
        call.hangup()

    def test_each_fork_counts_for_itself(self, lone):
        call = lone.dial()
        self.progress(lone, 5, tag="t1")
        self.progress(lone, 900, tag="t2")
        self.progress(lone, 6, tag="t1")
        assert [(p.message.to_tag, p.message.cseq) for p in lone.net.sent("PRACK")] == [
            ("t1", 2), ("t2", 2), ("t1", 3)
        ]  # fmt: skip
        call.hangup()

    def test_the_first_description_is_the_answer(self, lone):
        call = lone.dial()
        self.progress(lone, 5, body=b"v=0 answer")
        self.progress(lone, 6, body=b"v=0 other")
        lone.reply(lone.out[0], 200, "t1", body=b"v=0 another")
        assert lone.handler.events[-1] == ("answered", b"v=0 answer")
        assert call.remote_sdp == b"v=0 answer"
        call.hangup()

    def test_another_fork_answers(self, lone):
        call = lone.dial()
        self.progress(lone, 5, tag="t1", body=b"v=0 early")
        lone.reply(lone.out[0], 200, "t2", body=b"v=0 answer")
        assert lone.handler.events[-1] == ("answered", b"v=0 answer")
        call.hangup()
        assert lone.net.sent("BYE")[0].message.cseq == 2

    def test_another_invite_counts_anew(self, lone):
        call = lone.dial()
        self.progress(lone, 5)
        lone.reply(lone.out[0], 422, "t1", "Min-SE: 3000")
        again = lone.out[-1]
        assert (again.name, again.message.cseq) == ("INVITE", 2)
        lone.reply(again, 183, "t1", MUST, "RSeq: 900")
        assert lone.last.headers.get("RAck") == "900 2 INVITE"
        call.hangup()

    def test_no_prack_after_cancel(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 100, "")
        call.hangup()
        self.progress(lone, 5)
        assert [p.name for p in lone.out] == ["INVITE", "CANCEL"]

    def test_a_prack_that_nobody_answers_leaves_the_call_alone(self, lone):
        call = lone.dial()
        self.progress(lone, 5)
        lone.net.run(40_000)
        assert len(lone.net.sent("PRACK")) == 11
        assert lone.handler.names() == ["ringing"]
        lone.reply(lone.out[0], 200, "t1", body=b"v=0 answer")
        assert lone.handler.names() == ["ringing", "answered"]
        call.hangup()
