"""Calls between two user agents over a link in virtual time (RFC 3261 sections 13 to 15)."""


def test_a_call_from_invite_to_bye(pair):
    call, robot = pair.call()
    assert pair.there.events == [("invite", b"v=0 offer"), ("ack", None)]
    assert pair.here.events == [("answered", b"v=0 answer")]
    call.hangup([("Reason", 'Q.850;cause=16;text="done"')])
    pair.net.run(10)
    assert pair.net.trace() == [
        "10.0.0.1>10.0.0.2 INVITE",
        "10.0.0.2>10.0.0.1 200 INVITE",
        "10.0.0.1>10.0.0.2 ACK",
        "10.0.0.1>10.0.0.2 BYE",
        "10.0.0.2>10.0.0.1 200 BYE",
    ]
    cause = pair.there.ended[robot.id]
    assert (cause.by.value, cause.status, cause.text) == (
        "remote",
        200,
        'Q.850;cause=16;text="done"',
    )
    assert pair.here.ended[call.id].by.value == "local"
    pair.finish()
