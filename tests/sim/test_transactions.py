"""Every timer of the four transaction machines at its exact time (RFC 3261 17, RFC 6026)."""

import pytest

FULL_ROW = [0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500]
"""T1 doubled up to T2, until 64*T1: timers E and G, and a 2xx that is not acknowledged."""


def invite(lone, **fields):
    lone.send("INVITE sip:u@ua", body=b"v=0 offer", **fields)


class TestInviteServer:
    def test_100_after_200_ms_only_if_nothing_else_was_sent(self, lone):
        lone.handler.answer = None
        invite(lone)
        lone.net.run(199)
        assert lone.statuses() == []
        lone.net.run(1)
        assert lone.net.times("100 INVITE") == [200]

    def test_no_100_after_a_quick_answer(self, lone):
        invite(lone)
        lone.net.run(400)
        assert lone.statuses() == ["200 INVITE"]

    def test_retransmitted_invite_gets_the_last_provisional_again(self, lone):
        lone.handler.answer = None
        lone.handler.ring = True
        invite(lone)
        lone.net.run(100)
        invite(lone)
        assert lone.statuses() == ["180 INVITE", "180 INVITE"]
        assert len(lone.handler.calls) == 1

    def test_timers_g_and_h_after_a_failure(self, lone):
        lone.handler.answer = None
        invite(lone)
        lone.handler.calls[0].reject(486)
        lone.net.run(31_999)
        assert lone.net.times("486 INVITE") == FULL_ROW
        assert len(lone.agent.transactions) == 1
        lone.net.run(1)
        lone.net.assert_quiet()
        assert lone.net.times("486 INVITE") == FULL_ROW

    def test_ack_stops_timer_g_and_timer_i_absorbs_for_t4(self, lone):
        lone.handler.answer = None
        invite(lone)
        lone.handler.calls[0].reject(486)
        lone.net.run(600)
        lone.send("ACK sip:u@ua", CSeq="1 ACK", To="<sip:u@ua>;tag=x")
        lone.net.run(4_999)
        lone.send("ACK sip:u@ua", CSeq="1 ACK", To="<sip:u@ua>;tag=x")
        assert len(lone.agent.transactions) == 1
        lone.net.run(1)
        lone.net.assert_quiet()
        assert lone.net.times("486 INVITE") == [0, 500]

    def test_timer_l_absorbs_invites_after_a_2xx(self, lone):
        invite(lone)
        lone.send(
            "ACK sip:u@ua",
            CSeq="1 ACK",
            Via="SIP/2.0/UDP peer;branch=z9hG4bKack",
            To=lone.last.headers.get("To"),
        )
        invite(lone)
        assert lone.statuses() == ["200 INVITE"]
        lone.net.run(31_999)
        assert len(lone.agent.transactions) == 1
        lone.net.run(1)
        assert len(lone.agent.transactions) == 0
        assert len(lone.net.wheel) == 0

    def test_reliable_transport_repeats_nothing_and_skips_timer_i(self, world):
        net = world.Net("TCP")
        handler = world.Recorder(answer=None)
        agent = net.agent("10.0.0.2", handler)
        net.receive("10.0.0.2", "10.0.0.9", world.sip("INVITE sip:u@ua", body=b"v=0"))
        handler.calls[0].reject(486)
        net.run(20_000)
        assert net.times("486 INVITE") == [0]
        net.receive("10.0.0.2", "10.0.0.9", world.sip("ACK sip:u@ua", CSeq="1 ACK"))
        assert len(agent.transactions) == 0
        net.assert_quiet()


class TestNonInviteServer:
    def test_timer_j_repeats_the_answer_for_64_t1(self, lone):
        lone.send("OPTIONS sip:u@ua")
        lone.net.run(31_999)
        lone.send("OPTIONS sip:u@ua")
        assert lone.statuses() == ["200 OPTIONS", "200 OPTIONS"]
        assert lone.out[0].message.to_bytes() == lone.out[1].message.to_bytes()
        lone.net.run(1)
        lone.net.assert_quiet()

    def test_reliable_transport_does_not_linger(self, world):
        net = world.Net("TCP")
        net.agent("10.0.0.2", world.Recorder())
        net.receive("10.0.0.2", "10.0.0.9", world.sip("OPTIONS sip:u@ua"))
        net.run(1)
        net.assert_quiet()


class TestInviteClient:
    def test_timer_a_doubles_without_cap_and_timer_b_ends(self, lone):
        lone.dial()
        lone.net.run(31_999)
        assert lone.net.times("INVITE") == [0, 500, 1500, 3500, 7500, 15500, 31500]
        assert lone.handler.events == []
        lone.net.run(1)
        assert lone.handler.events == [("ended", "error", 408)]
        lone.net.run(32_000)  # in which a late 2xx would be acknowledged
        lone.net.assert_quiet()

    def test_provisional_response_stops_timer_a(self, lone):
        call = lone.dial()
        lone.net.run(600)
        lone.reply(lone.out[0], 180)
        lone.net.run(60_000)
        assert lone.net.times("INVITE") == [0, 500]
        assert call.state.name == "CALLING"

    def test_timer_d_acknowledges_repeated_failures_for_32_s(self, lone):
        lone.dial()
        lone.reply(lone.out[0], 486)
        lone.net.run(31_999)
        lone.reply(lone.out[0], 486)
        assert lone.net.times("ACK") == [0, 31_999]
        assert lone.handler.events == [("ended", "remote", 486)]
        lone.net.run(1)
        lone.net.assert_quiet()

    def test_ack_for_a_failure_mirrors_the_invite(self, lone):
        lone.dial()
        invite = lone.out[0].message
        lone.reply(lone.out[0], 503, "far")
        ack = lone.last
        assert ack.uri == invite.uri
        assert ack.headers.get("Via") == invite.headers.get("Via")
        assert ack.headers.get("To") == "<sip:p@10.0.0.9:5060>;tag=far"
        assert ack.headers.get("CSeq") == "1 ACK"

    def test_timer_m_acknowledges_repeated_200_for_64_t1(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 200, body=b"v=0")
        lone.net.run(31_999)
        lone.reply(lone.out[0], 200, body=b"v=0")
        assert lone.net.times("ACK") == [0, 31_999]
        assert lone.handler.names() == ["answered"]
        lone.net.run(1)
        lone.reply(lone.out[0], 200, body=b"v=0")
        assert lone.net.times("ACK") == [0, 31_999]
        call.hangup()
        lone.net.run(32_000)
        lone.net.assert_quiet()

    def test_reliable_transport_sends_once_and_skips_timer_d(self, world):
        net = world.Net("TCP")
        handler = world.Recorder()
        agent = net.agent("10.0.0.2", handler)
        agent.dial("sip:p@10.0.0.9", b"v=0", net.flow("10.0.0.9"), from_uri="sip:u@ua")
        net.run(32_000)
        assert net.times("INVITE") == [0]
        assert handler.events == [("ended", "error", 408)]
        net.run(32_000)
        net.assert_quiet()


class TestNonInviteClient:
    def bye(self, lone):
        call = lone.dial()
        lone.reply(lone.out[0], 200, body=b"v=0")
        lone.net.run(40_000)
        call.hangup()

    def times(self, lone):
        return [at_ms - 40_000 for at_ms in lone.net.times("BYE")]

    def test_timer_e_doubles_up_to_t2_and_timer_f_ends(self, lone):
        self.bye(lone)
        lone.net.run(31_999)
        assert self.times(lone) == FULL_ROW
        assert lone.agent.dialogs == 1
        lone.net.run(1)
        lone.net.assert_quiet()

    def test_provisional_response_sets_timer_e_to_t2(self, lone):
        self.bye(lone)
        lone.reply(lone.out[-1], 100)
        lone.net.run(31_999)
        assert self.times(lone)[:4] == [0, 500, 4500, 8500]

    def test_timer_k_absorbs_for_t4(self, lone):
        self.bye(lone)
        lone.reply(lone.out[-1], 200)
        lone.net.run(4_999)
        assert len(lone.agent.transactions) == 1
        lone.net.run(1)
        lone.net.assert_quiet()


class TestMatching:
    @pytest.mark.parametrize("branch", ["", ";branch=z9hG4bK", ";branch=old"])
    def test_without_a_cookie_the_rfc_2543_way(self, lone, branch):
        fields = {"Via": f"SIP/2.0/UDP peer{branch}"}
        lone.send("OPTIONS sip:u@ua", **fields)
        lone.send("OPTIONS sip:u@ua", **fields)
        lone.send("OPTIONS sip:u@ua", **(fields | {"Call_ID": "call2"}))
        lone.send("OPTIONS sip:u@ua", **(fields | {"CSeq": "2 OPTIONS"}))
        assert len(lone.agent.transactions) == 3
        assert len({p.message.headers.get("To") for p in lone.out}) == 3

    def test_rfc_2543_ack_for_a_2xx_is_passed_up(self, lone):
        invite(lone, Via="SIP/2.0/UDP peer")
        to = lone.last.headers.get("To")
        lone.send("ACK sip:u@ua", CSeq="1 ACK", Via="SIP/2.0/UDP peer", To=to)
        assert lone.handler.names() == ["invite", "ack"]

    def test_same_branch_from_another_sender_is_another_transaction(self, lone):
        lone.send("OPTIONS sip:u@ua")
        lone.send("OPTIONS sip:u@ua", Via="SIP/2.0/UDP other;branch=z9hG4bKone", Call_ID="2")
        assert len(lone.agent.transactions) == 2

    def test_merged_request_gets_482(self, lone):
        invite(lone)
        invite(lone, Via="SIP/2.0/UDP peer:5060;branch=z9hG4bKother;rport")
        assert lone.statuses() == ["200 INVITE", "482 INVITE"]
        assert len(lone.handler.calls) == 1

    def test_same_ids_after_the_transaction_are_a_new_request(self, lone):
        lone.send("OPTIONS sip:u@ua")
        lone.net.run(32_000)
        lone.send("OPTIONS sip:u@ua", Via="SIP/2.0/UDP peer;branch=z9hG4bKother")
        assert lone.statuses() == ["200 OPTIONS", "200 OPTIONS"]

    def test_stray_responses_are_counted_and_dropped(self, lone):
        lone.send("SIP/2.0 200 OK", CSeq="1 INVITE")
        assert lone.statuses() == []
        assert lone.agent.counters.as_dict()["stray_responses"] == 1

    def test_response_with_two_vias_is_not_ours(self, lone):
        lone.dial()
        via = lone.out[0].message.headers.get("Via")
        lone.reply(lone.out[0], 486, Via=f"{via}, SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKx")
        assert lone.handler.events == []
        assert lone.agent.counters.as_dict()["stray_responses"] == 1

    def test_a_full_table_answers_503_without_state(self, world):
        net = world.Net()
        agent = net.agent("10.0.0.2", world.Recorder(), max_transactions=1)
        net.receive("10.0.0.2", "10.0.0.9", world.sip("OPTIONS sip:u@ua"))
        net.receive(
            "10.0.0.2",
            "10.0.0.9",
            world.sip(
                "OPTIONS sip:u@ua", Call_ID="2", Via="SIP/2.0/UDP peer;branch=z9hG4bKtwo;rport"
            ),
        )
        assert [p.name for p in net.packets] == ["200 OPTIONS", "503 OPTIONS"]
        assert net.packets[-1].message.headers.get("Retry-After") == "5"
        assert len(agent.transactions) == 1
        assert agent.counters.as_dict()["transaction_table_full"] == 1


class TestWhereResponsesGo:
    """RFC 3261 18.2.2, RFC 3581."""

    @pytest.mark.parametrize(
        ("via", "port"),
        [
            ("SIP/2.0/UDP 10.0.0.9:6000;branch=z9hG4bK1", 6000),
            ("SIP/2.0/UDP 10.0.0.9:6000;branch=z9hG4bK1;rport", 5060),
            ("SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK1", 5060),
            ("SIP/2.0/UDP 10.0.0.9:6000;branch=z9hG4bK1;maddr=10.9.9.9", 6000),
        ],
    )
    def test_port_and_host(self, net, world, via, port):
        sent = []
        agent = net.agent("10.0.0.2", world.Recorder())
        agent.transactions.send = lambda data, flow: sent.append(flow)
        net.receive("10.0.0.2", "10.0.0.9", world.sip("OPTIONS sip:u@ua", Via=via))
        assert [(flow.remote_host, flow.remote_port) for flow in sent] == [("10.0.0.9", port)]

    def test_received_is_noted(self, lone):
        lone.send("OPTIONS sip:u@ua", Via="SIP/2.0/UDP host.example;branch=z9hG4bK1;rport")
        via = lone.last.headers.get("Via")
        assert ";received=10.0.0.9" in via
        assert ";rport=5060" in via
