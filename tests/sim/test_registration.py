"""Registrations in virtual time: the registrar is played by the test."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel.media.sip.digest import Challenger, Credentials, Outcome, lookup_of
from ringwheel.media.sip.edge import Flow, SendFailure
from ringwheel.media.sip.registration import Registration, RegistrationConfig, RegistrationState
from ringwheel.media.sip.resolve import Resolver
from ringwheel.media.trunk import Peer, Trunk
from ringwheel.media.trunk import Registration as TrunkRegistration
from ringwheel.media.trunk.directory import Trunks

REGISTRAR = "10.0.0.9"
CREDENTIALS = Credentials("robot", "secret")
CONTACT = "<sip:ringwheel@10.0.0.2:5060>"


class Registered:
    """An agent's registration at a registrar, and what its user was told."""

    def __init__(self, lone, **options):
        self.lone = lone
        self.told = []
        self.mood = None
        options = {"registrar": "sip:example.com", "address": "sip:robot@example.com"} | options
        self.registration = Registration(
            lone.agent, RegistrationConfig(**options), lone.net.flow(REGISTRAR), self.note
        )

    def note(self, registration):
        self.told.append((registration.state.value, registration.status))
        if self.mood is not None:
            self.mood(registration)

    @property
    def sent(self):
        return [p for p in self.lone.out if p.name == "REGISTER"]

    @property
    def last(self):
        return self.sent[-1].message

    def reply(self, status, *lines, contact=f"{CONTACT};expires=600", of=-1):
        self.lone.reply(self.sent[of], status, "registrar", *lines, Contact=contact)

    def wait_s(self):
        """Until the next REGISTER."""
        count, begin_ms = len(self.sent), self.lone.net.wheel.now_ms
        while len(self.sent) == count:
            self.lone.net.run(100)
        return (self.lone.net.wheel.now_ms - begin_ms) / 1_000


@pytest.fixture
def robot(lone):
    found = Registered(lone)
    found.registration.start()
    return found


def test_the_request_and_its_refresh(robot):
    first = robot.last
    assert (first.uri, first.cseq) == ("sip:example.com", 1)
    assert first.headers.get("To") == "<sip:robot@example.com>"
    assert first.headers.get("From").startswith("<sip:robot@example.com>;tag=")
    assert first.headers.all("Contact") == [f"{CONTACT};expires=600"]
    robot.reply(200)
    assert robot.told == [("registering", 0), ("registered", 200)]
    assert robot.registration.granted_s == 600
    assert 450 <= robot.wait_s() <= 540.1
    again = robot.last
    assert (again.call_id, again.cseq, again.from_tag) == (first.call_id, 2, first.from_tag)
    robot.reply(200)
    assert len(robot.told) == 2


@pytest.mark.parametrize(
    ("contact", "lines", "granted"),
    [
        (f"{CONTACT};expires=120", [], 120),
        (CONTACT, ["Expires: 90"], 90),
        (CONTACT, [], 600),
        ("", ["Expires: 70"], 70),
        (f"<sip:other@10.0.0.3>;expires=5, {CONTACT};expires=130", ["Expires: 1"], 130),
        ("<sip:RINGWHEEL@198.51.100.7:1024>;expires=140", [], 140),
        (f"{CONTACT};expires=99999999999999", [], 600),
        (f"{CONTACT};expires=999999999", [], 86_400),
        (f'{CONTACT};expires=soon, "broken', ["Expires: 80"], 80),
    ],
)
def test_the_time_that_is_granted(robot, contact, lines, granted):
    robot.reply(200, *lines, contact=contact)
    if "broken" in contact:
        assert robot.registration.state is RegistrationState.REGISTERING  # no SIP at all
    else:
        assert robot.registration.granted_s == granted


def test_calls_may_be_wanted_for_another_user(lone):
    robot = Registered(lone, contact_user="line one")
    robot.registration.start()
    (contact,) = robot.last.headers.all("Contact")
    assert contact == "<sip:line%20one@10.0.0.2:5060>;expires=600"
    robot.reply(200, contact="<sip:line%20one@10.0.0.2:5060>;expires=90, <sip:a@b>;expires=7")
    assert robot.registration.granted_s == 90


def test_a_moment_is_not_refreshed_at_once(robot):
    robot.reply(200, contact=f"{CONTACT};expires=1")
    assert robot.wait_s() >= 5


@pytest.mark.parametrize("contact", [f"{CONTACT};expires=0", "<sip:a@10.0.0.3>, <sip:b@10.0.0.4>"])
def test_a_200_that_grants_nothing_is_a_failure(robot, contact):
    robot.reply(200, contact=contact)
    assert robot.told[-1] == ("failed", 200)
    assert "granted no time" in robot.registration.reason


def test_the_registrar_may_want_a_longer_time_once(robot):
    robot.reply(423, "Min-Expires: 3600", contact="")
    assert robot.last.headers.get("Expires") == "3600"
    robot.reply(423, "Min-Expires: 3600", contact="")
    assert len(robot.sent) == 2
    assert robot.told == [("registering", 0), ("failed", 423)]
    robot.wait_s()
    assert robot.last.headers.get("Expires") == "3600"


@pytest.mark.parametrize("line", ["Min-Expires: x", "Min-Expires: 99999999", "X-A: b"])
def test_a_423_that_says_nothing(robot, line):
    robot.reply(423, line, contact="")
    assert (len(robot.sent), robot.told[-1]) == (1, ("failed", 423))


def test_digest(lone):
    robot = Registered(lone, credentials=CREDENTIALS)
    robot.registration.start()
    challenger = Challenger("example.com", lookup_of([CREDENTIALS], "example.com"), lone.net.wheel)
    for _ in range(3):
        if challenger.check(robot.last).outcome is not Outcome.GOOD:
            lines = [f"{name}: {value}" for name, value in challenger.challenge()]
            robot.reply(401, *lines, contact="")
        assert challenger.check(robot.last).outcome is not Outcome.WRONG
        robot.reply(200)
        assert robot.registration.state is RegistrationState.REGISTERED
        robot.wait_s()
    # Beforehand with the known nonce, and again with a new one once that had become too old.
    assert [p.message.cseq for p in robot.sent] == list(range(1, len(robot.sent) + 1))
    assert robot.told == [("registering", 0), ("registered", 200)]


@pytest.mark.parametrize(
    ("credentials", "reason"), [(None, "wants credentials"), (CREDENTIALS, "refuses our")]
)
def test_credentials_that_do_not_help_are_not_tried_every_minute(lone, credentials, reason):
    robot = Registered(lone, credentials=credentials)
    robot.registration.start()
    for number in range(2):
        robot.reply(401, f'WWW-Authenticate: Digest realm="r", nonce="{number}"', contact="")
        if credentials is None:
            break
    assert robot.told[-1] == ("failed", 401)
    assert reason in robot.registration.reason
    assert robot.wait_s() >= 300


def test_failures_back_off_with_jitter(robot):
    waits = []
    for _ in range(12):
        robot.reply(500, contact="")
        waits.append(robot.wait_s())
    for number, wait_s in enumerate(waits):
        bound_s = min(1_800, 30 * 2**number)
        assert max(30, bound_s / 2) <= wait_s <= bound_s + 0.2
    robot.reply(200)
    robot.wait_s()
    robot.reply(500, contact="")
    assert robot.wait_s() <= 30.2


def test_retry_after_is_kept(robot):
    robot.reply(503, "Retry-After: 400", contact="")
    assert robot.wait_s() >= 400


def test_nobody_there(robot):
    robot.lone.net.run(32_000)
    assert robot.told[-1] == ("failed", 408)
    assert robot.registration.reason == "the registrar did not answer"


def test_a_request_that_comes_back_was_answered_by_nobody(robot):
    for _ in range(2):
        robot.lone.net.run(600)
        failure = SendFailure("nobody listens there")
        robot.lone.agent.refused(robot.last.branch, "REGISTER", failure)
    assert robot.told[-1] == ("failed", 408)
    assert robot.registration.reason == "the registrar did not answer"
    assert robot.wait_s() <= 30
    assert robot.wait_s() <= 30.2


def test_credentials_that_change_are_used_at_once(lone):
    robot = Registered(lone, credentials=Credentials("robot", "old"))
    robot.registration.start()
    for number in range(2):
        robot.reply(401, f'WWW-Authenticate: Digest realm="r", nonce="{number}"', contact="")
    robot.registration.set_credentials(CREDENTIALS)
    assert len(robot.sent) == 3
    robot.reply(401, 'WWW-Authenticate: Digest realm="r", nonce="3"', contact="")
    robot.reply(200)
    assert robot.registration.state is RegistrationState.REGISTERED


def test_a_change_while_a_request_is_under_way_waits_for_its_answer(robot):
    robot.registration.refresh()
    robot.registration.refresh()
    assert len(robot.sent) == 1
    robot.reply(200)
    assert len(robot.sent) == 2
    robot.reply(200)
    assert len(robot.sent) == 2


def test_moving_to_another_listener_takes_the_old_contact_back(make_lone):
    robot = Registered(make_lone(addresses=("10.0.0.2:5060", "10.1.0.2:5060")))
    robot.registration.start()
    robot.reply(200)
    robot.registration.move(Flow(REGISTRAR, 5060, 1))
    moved = "<sip:ringwheel@10.1.0.2:5060>"
    both = [f"{moved};expires=600", f"{CONTACT};expires=0"]
    assert robot.last.headers.all("Contact") == both
    robot.reply(500, contact="")
    robot.wait_s()
    assert robot.last.headers.all("Contact") == both
    robot.reply(200, contact=f"{moved};expires=600")
    robot.wait_s()
    assert robot.last.headers.all("Contact") == both[:1]


class TestLostConnections:
    """Behind a NAT, calls come by the connection of the binding or not at all (RFC 5626)."""

    def test_the_binding_is_made_again_soon(self, robot):
        robot.reply(200)
        robot.lone.net.run(300_000)
        robot.registration.disconnected(robot.registration.flow)
        assert 15 <= robot.wait_s() <= 30.1
        robot.reply(200)
        assert 450 <= robot.wait_s() <= 540.1

    def test_that_of_another_is_none_of_its_business(self, robot):
        robot.reply(200)
        robot.registration.disconnected(Flow("10.0.0.8", 5060))
        assert robot.wait_s() >= 450

    def test_a_registrar_that_closes_each_of_them_is_asked_ever_less(self, robot):
        waits = []
        for _ in range(6):
            robot.reply(200)
            robot.registration.disconnected(robot.registration.flow)
            waits.append(robot.wait_s())
        for number, wait_s in enumerate(waits):
            longest_s = 30 * 2**number
            assert min(longest_s / 2, 450) <= wait_s <= min(longest_s, 540) + 0.1

    def test_one_that_has_held_for_long_counts_for_itself(self, robot):
        for _ in range(5):
            robot.reply(200)
            robot.lone.net.run(400_000)
            robot.registration.disconnected(robot.registration.flow)
            assert robot.wait_s() <= 30.1

    def test_never_later_than_the_refresh(self, robot):
        robot.reply(200, contact=f"{CONTACT};expires=20")
        robot.lone.net.run(14_000)
        robot.registration.disconnected(robot.registration.flow)
        assert robot.wait_s() <= 4.1

    def test_while_it_is_not_registered_nothing_changes(self, robot):
        robot.registration.disconnected(robot.registration.flow)
        robot.reply(503, "Retry-After: 400", contact="")
        robot.registration.disconnected(robot.registration.flow)
        assert robot.wait_s() >= 400

    def test_the_registration_of_a_trunk_hears_of_it(self, lone):
        account = Trunk("carrier", (Peer(REGISTRAR),), registration=TrunkRegistration("robot"))
        trunks = Trunks(
            lone.agent,
            lambda target: lone.net.flow(target.host),
            Resolver(lambda: None),
            codecs=(),
            user="ringwheel",
            tell_sources=lambda name, hosts: None,
        )
        trunks.reload([account])
        (first,) = [p for p in lone.out if p.name == "REGISTER"]
        lone.reply(first, 200, Contact="<sip:robot@10.0.0.2:5060>;expires=600")
        lone.net.run(2_000)
        lone.agent.disconnected(lone.net.flow(REGISTRAR), SendFailure("gone"))
        lone.net.run(30_000)
        assert len([p for p in lone.out if p.name == "REGISTER"]) > 1
        trunks.close()


class TestStopping:
    def test_the_binding_is_taken_back(self, robot):
        robot.reply(200)
        robot.registration.stop()
        assert robot.last.headers.all("Contact") == [f"{CONTACT};expires=0"]
        assert robot.last.headers.get("Expires") == "0"
        robot.reply(200, contact="")
        assert robot.told[-2:] == [("unregistering", 200), ("stopped", 200)]
        robot.lone.net.run(700_000)
        assert len(robot.sent) == 2
        robot.lone.net.assert_quiet()

    def test_not_before_the_request_under_way_has_its_answer(self, robot):
        robot.registration.stop()
        assert len(robot.sent) == 1
        robot.reply(200)
        assert robot.last.headers.get("Expires") == "0"
        robot.reply(200, contact="")
        assert robot.registration.state is RegistrationState.STOPPED

    def test_nobody_there(self, robot):
        robot.reply(200)
        robot.registration.stop()
        robot.lone.net.run(32_000)
        assert robot.told[-1] == ("stopped", 408)
        robot.lone.net.assert_quiet()

    def test_and_started_again_before_that_was_answered(self, robot):
        robot.reply(200)
        robot.registration.stop()
        robot.registration.start()
        assert len(robot.sent) == 2
        robot.reply(200, contact="")
        robot.reply(200)
        states = [state for state, _ in robot.told]
        assert states[2:] == ["unregistering", "registering", "registered"]

    def test_and_started_again(self, robot):
        robot.reply(200)
        robot.registration.stop()
        robot.reply(200, contact="")
        robot.registration.start()
        robot.reply(200)
        assert robot.registration.state is RegistrationState.REGISTERED

    @pytest.mark.parametrize("when", ["registering", "registered", "failed"])
    @pytest.mark.parametrize("status", [200, 500])
    def test_by_who_is_told_of_a_change(self, lone, when, status):
        robot = Registered(lone)
        robot.mood = lambda r: r.stop() if r.state.value == when else None
        robot.registration.start()
        robot.reply(status)
        robot.registration.stop()
        if robot.registration.state is RegistrationState.UNREGISTERING:
            robot.reply(200, contact="")
        sent = len(robot.sent)
        lone.net.run(3_000_000)
        assert robot.registration.state is RegistrationState.STOPPED
        assert len(robot.sent) == sent
        assert robot.last.headers.get("Expires") == "0"
        lone.net.assert_quiet()

    @pytest.mark.parametrize("when", ["registered", "failed", "unregistering", "stopped"])
    @pytest.mark.parametrize("status", [200, 500])
    def test_and_begun_by_who_is_told_of_a_change(self, lone, when, status):
        robot = Registered(lone)
        begun = []

        def begin(registration):
            if registration.state.value == when and not begun:
                begun.append(when)
                registration.start()

        robot.mood = begin
        robot.registration.start()
        robot.reply(status)
        robot.registration.stop()
        for _ in range(3):
            robot.reply(200)
        assert robot.registration.state in (RegistrationState.REGISTERED, RegistrationState.STOPPED)
        assert len(open_branches(lone)) == 0
        robot.mood = None
        robot.registration.stop()
        lone.net.run(40_000)
        assert robot.registration.state is RegistrationState.STOPPED
        lone.net.assert_quiet()

    def test_abandoned(self, robot):
        robot.registration.abandon()
        assert robot.told[-1] == ("stopped", 0)
        robot.reply(200)
        assert robot.told[-1] == ("stopped", 0)
        robot.lone.net.run(700_000)
        robot.lone.net.assert_quiet()


def test_a_user_who_fails_costs_nothing(lone):
    robot = Registered(lone)
    robot.note = lambda _: 1 / 0
    registration = Registration(
        lone.agent,
        RegistrationConfig("sip:example.com", "sip:robot@example.com"),
        lone.net.flow(REGISTRAR),
        lambda _: 1 / 0,
    )
    registration.start()
    robot.reply(200)
    assert registration.state is RegistrationState.REGISTERED
    registration.abandon()


@pytest.mark.parametrize(("registrar", "expires_s"), [("example.com", 600), ("sip:example.com", 0)])
def test_a_configuration_that_cannot_be(registrar, expires_s):
    with pytest.raises(ValueError, match=r"uri|lasts 1 to"):
        RegistrationConfig(registrar, "sip:robot@example.com", expires_s=expires_s)


step = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 500, 6_000, 40_000, 700_000])),
    st.tuples(st.just("reply"), st.sampled_from([100, 200, 301, 401, 403, 407, 423, 500, 503])),
    st.tuples(
        st.sampled_from(["start", "stop", "refresh", "credentials", "move", "disconnected"]),
        st.just(0),
    ),
)


class Story:
    """A registration to which anything may happen."""

    def __init__(self, lone, seed, moody):
        self.random = random.Random(seed)
        self.robot = Registered(lone, credentials=self.random.choice([None, CREDENTIALS]))
        self.robot.mood = self.be_moody if moody else None
        self.flows = [Flow(f"10.0.1.{number}", 5060) for number in range(3)]

    def be_moody(self, registration):
        """Who is told of a change does something about it."""
        if self.random.random() < 0.3:
            action = self.random.choice(["start", "stop", "refresh", "abandon"])
            getattr(registration, action)()

    def play(self, action, argument):
        registration, lone = self.robot.registration, self.robot.lone
        if action == "wait":
            lone.net.run(argument)
        elif action == "reply":
            self.answer(argument)
        elif action == "credentials":
            registration.set_credentials(self.random.choice([None, CREDENTIALS]))
        elif action == "move":
            registration.move(self.random.choice(self.flows))
        elif action == "disconnected":
            registration.disconnected(registration.flow)
        else:
            getattr(registration, action)()

    def answer(self, status):
        if not self.robot.sent:
            return
        lines = {
            401: 'WWW-Authenticate: Digest realm="r", nonce="n", stale=true',
            407: 'Proxy-Authenticate: Digest realm="r", nonce="n"',
            423: f"Min-Expires: {self.random.choice([1, 700, 10**8])}",
            503: f"Retry-After: {self.random.choice([0, 100, 10**9])}",
        }
        expires = self.random.choice([0, 1, 60, 10**6])
        which = self.random.randrange(-min(3, len(self.robot.sent)), 0)
        contact = f"{CONTACT};expires={expires}"
        self.robot.reply(status, lines.get(status, "X-A: b"), contact=contact, of=which)


def open_branches(lone):
    """Branches of REGISTER requests that have no final response yet."""
    clients = lone.agent.transactions._clients.values()
    return {t.key.split()[0] for t in clients if t.state.name in ("TRYING", "PROCEEDING")}


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.lists(step, max_size=40), moody=st.booleans())
def test_whatever_happens_there_is_one_request_at_a_time_and_a_way_on(
    make_lone, seed, steps, moody
):
    lone = make_lone()
    story = Story(lone, seed, moody)
    for item in steps:
        story.play(*item)
        assert len(lone.net.wheel) <= len(story.robot.sent) + 1
        waiting = [p for p in story.robot.sent if p.message.branch in open_branches(lone)]
        assert len({p.message.branch for p in waiting}) <= 1
    registration = story.robot.registration
    story.robot.mood = None
    started = registration.state not in (RegistrationState.IDLE, RegistrationState.STOPPED)
    if started and registration.state is not RegistrationState.UNREGISTERING:
        sent = len(story.robot.sent)
        lone.net.run(90_000_000)
        stopping = registration.state is RegistrationState.STOPPED
        assert len(story.robot.sent) > sent or stopping
    registration.stop()
    lone.net.run(200_000)
    assert registration.state in (RegistrationState.IDLE, RegistrationState.STOPPED)
    lone.net.assert_quiet()
