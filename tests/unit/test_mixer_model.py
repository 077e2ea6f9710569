"""What members of a room hear, against a list of all that was said to it, summed up by numpy."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ringwheel._testcore import ffi, lib

OK, BAD_LENGTH, LATE, TWICE = (
    lib.RW_MIXER_OK,
    lib.RW_MIXER_BAD_LENGTH,
    lib.RW_MIXER_LATE,
    lib.RW_MIXER_TWICE,
)
ROLES = [lib.RW_MIXER_TALKER, lib.RW_MIXER_LISTENER, lib.RW_MIXER_WHISPERER]
QUIET, LOUD = 3000, 32767
RATES_HZ = st.sampled_from([8000, 8000, 16000, 48000])
INDEX = st.integers(0, 5)


class Resampler:
    """The core's own, which has a model of itself."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self.state = ffi.new("rw_resampler *")
        assert lib.rw_resampler_init(self.state, from_hz, to_hz) == 0

    def __call__(self, sound: np.ndarray) -> np.ndarray:
        room = lib.rw_resampler_room(self.state, len(sound))
        made = np.zeros(room, np.int16)
        count = lib.rw_resample(self.state, samples_of(sound), len(sound), samples_of(made), room)
        return made[:count]


def samples_of(array: np.ndarray):
    return ffi.from_buffer("int16_t[]", array)


@dataclass(eq=False)
class Member:
    """One who is, or was, in the room."""

    number: int
    rate_hz: int
    inwards: Resampler
    outwards: Resampler
    role: int = lib.RW_MIXER_TALKER
    whisper_to: Member | None = None
    given_to: int | None = None
    taken_to: int | None = None
    given: Counter[int] = field(default_factory=Counter)
    taken: Counter[int] = field(default_factory=Counter)
    missing_ms: int = 0
    overtaken: int = 0
    clipped_samples: int = 0


@dataclass
class Utterance:
    """A block that was given; ``to`` is whom it was whispered to."""

    speaker: Member
    at: int
    sound: np.ndarray
    to: Member | None


class MixerAgainstSums(RuleBasedStateMachine):
    """Members of any rate and role, who come and go, and keep their slots or do not."""

    @initialize(
        room_hz=RATES_HZ,
        max_members=st.integers(1, 6),
        block_ms=st.sampled_from([10, 20, 30]),
        start=st.sampled_from([0, 5, 1_000_000]),
        rates_hz=st.lists(RATES_HZ, max_size=7),
    )
    def open(
        self, room_hz: int, max_members: int, block_ms: int, start: int, rates_hz: list[int]
    ) -> None:
        config = ffi.new("rw_mixer_config *", [room_hz, max_members, block_ms])
        made = ffi.new("rw_mixer **")
        assert lib.rw_mixer_create(config, made) == 0
        self.room = ffi.gc(made[0], lib.rw_mixer_destroy)
        self.room_hz, self.max_members, self.block_ms = room_hz, max_members, block_ms
        self.tick, self.newest = start, -1
        self.taken_to = -1
        self.members: list[Member] = []
        self.gone: list[Member] = []
        self.said: list[Utterance] = []
        self.deaf: set[tuple[Member, Member]] = set()
        for rate_hz in rates_hz:
            self.join(rate_hz)

    @rule(rate_hz=RATES_HZ)
    def join(self, rate_hz: int) -> None:
        number = lib.rw_mixer_join(self.room, rate_hz)
        free = set(range(self.max_members)) - {member.number for member in self.members}
        if not free:
            assert number < 0
            return
        assert number == min(free)
        ways = Resampler(rate_hz, self.room_hz), Resampler(self.room_hz, rate_hz)
        self.members.append(Member(number, rate_hz, *ways))

    def member(self, index: int) -> Member:
        return self.members[index % len(self.members)]

    @precondition(lambda self: self.members)
    @rule(index=INDEX)
    def leave(self, index: int) -> None:
        gone = self.member(index)
        assert lib.rw_mixer_leave(self.room, gone.number) == 0
        self.members.remove(gone)
        self.gone.append(gone)
        self.said = [said for said in self.said if said.speaker is not gone or said.to]
        for member in self.members:
            if member.role == lib.RW_MIXER_WHISPERER and member.whisper_to is gone:
                member.role = lib.RW_MIXER_LISTENER

    @precondition(lambda self: self.members)
    @rule(
        roles=st.lists(st.tuples(INDEX, st.sampled_from(ROLES), INDEX), min_size=1, max_size=4),
    )
    def set_roles(self, roles: list[tuple[int, int, int]]) -> None:
        for index, role, to in roles:
            member, whisper_to = self.member(index), self.member(to)
            done = lib.rw_mixer_set_role(self.room, member.number, role, whisper_to.number)
            if role == lib.RW_MIXER_WHISPERER and member is whisper_to:
                assert done < 0
            else:
                assert done == 0
                member.role, member.whisper_to = role, whisper_to

    @precondition(lambda self: self.members)
    @rule(pairs=st.lists(st.tuples(INDEX, INDEX, st.booleans()), min_size=1, max_size=4))
    def set_hears(self, pairs: list[tuple[int, int, bool]]) -> None:
        for *indexes, hears in pairs:
            listener, talker = map(self.member, indexes)
            done = lib.rw_mixer_set_hears(self.room, listener.number, talker.number, hears)
            assert (done == 0) == (listener is not talker)
            if done == 0:
                (self.deaf.discard if hears else self.deaf.add)((listener, talker))

    def judge(self, tick: int, ms: int, begin: int, done: int | None) -> int:
        self.newest = max(self.newest, tick)
        if not 0 < ms <= self.block_ms:
            return BAD_LENGTH
        if self.newest - tick >= self.block_ms:
            return LATE
        return TWICE if done is not None and begin < done else OK

    def put(self, member: Member, tick: int, ms: int, sound: np.ndarray) -> None:
        verdict = lib.rw_mixer_put(
            self.room, member.number, tick, samples_of(sound), ms * member.rate_hz // 1000
        )
        assert verdict == self.judge(tick, ms, tick, member.given_to)
        member.given[verdict] += 1
        if verdict != OK:
            return
        member.missing_ms += tick - member.given_to if member.given_to is not None else 0
        member.overtaken += tick < self.taken_to
        member.given_to = tick + ms
        self.say(member, tick * self.room_hz // 1000, sound)

    def say(self, member: Member, at: int, sound: np.ndarray) -> None:
        if member.role == lib.RW_MIXER_LISTENER:
            return
        to = member.whisper_to if member.role == lib.RW_MIXER_WHISPERER else None
        sound = member.inwards(sound)
        if (to, member) not in self.deaf:
            self.said.append(Utterance(member, at, sound, to))

    def hears(self, member: Member, said: Utterance) -> bool:
        if said.to:
            return said.to is member
        return said.speaker is not member and (member, said.speaker) not in self.deaf

    def sum_for(self, member: Member, begin: int, count: int) -> np.ndarray:
        """What sounds in the ``count`` samples from ``begin`` on."""
        total = np.zeros(count, np.int64)
        for said in self.said:
            first, last = max(begin, said.at), min(begin + count, said.at + len(said.sound))
            if first < last and self.hears(member, said):
                total[first - begin : last - begin] += said.sound[first - said.at : last - said.at]
        return total

    def take(self, member: Member, tick: int, ms: int) -> None:
        count = ms * member.rate_hz // 1000
        heard = np.full(max(count, 1), 0x5555, np.int16)
        verdict = lib.rw_mixer_take(self.room, member.number, tick, samples_of(heard), count)
        assert verdict == self.judge(tick, ms, tick - ms, member.taken_to)
        member.taken[verdict] += 1
        if verdict != OK:
            assert not heard[:count].any()
            return
        member.taken_to, self.taken_to = tick, max(self.taken_to, tick)
        per_ms = self.room_hz // 1000
        exact = self.sum_for(member, (tick - ms) * per_ms, ms * per_ms)
        clipped = np.clip(exact, -32768, 32767)
        member.clipped_samples += np.count_nonzero(clipped != exact)
        assert np.array_equal(heard, member.outwards(clipped.astype(np.int16)))

    @precondition(lambda self: self.members)
    @rule(
        phases=st.lists(st.integers(0, 29), min_size=6, max_size=6),
        lags_ms=st.lists(st.sampled_from([0, 0, 0, 1, 9, 10, 20]), min_size=6, max_size=6),
        frames=st.integers(1, 4),
        peak=st.sampled_from([QUIET, QUIET, LOUD]),
        seed=st.integers(0, 99),
    )
    def go_on(
        self, phases: list[int], lags_ms: list[int], frames: int, peak: int, seed: int
    ) -> None:
        """Every member keeps its slots, in a phase of its own, but some are served late."""
        random = np.random.default_rng(seed)
        for _ in range(frames * self.block_ms):
            for member in self.members:
                due = self.tick - lags_ms[member.number]
                if due >= 0 and (due - phases[member.number]) % self.block_ms == 0:
                    self.serve(member, due, peak, random)
            self.tick += 1

    def serve(self, member: Member, due: int, peak: int, random: np.random.Generator) -> None:
        count = self.block_ms * member.rate_hz // 1000
        sound = random.integers(-peak, peak, count, np.int16, endpoint=True)
        gives_first = bool(random.integers(2))
        if gives_first:
            self.put(member, due, self.block_ms, sound)
        self.take(member, due, self.block_ms)
        if not gives_first:
            self.put(member, due, self.block_ms, sound)

    @rule(ms=st.one_of(st.integers(0, 40), st.sampled_from([89, 90, 10_000])))
    def pass_time(self, ms: int) -> None:
        self.tick += ms

    @precondition(lambda self: self.members)
    @rule(
        index=INDEX,
        ms=st.integers(0, 31),
        late_ms=st.integers(0, 31),
        peak=st.sampled_from([QUIET, LOUD]),
        seed=st.integers(0, 99),
    )
    def put_any_block(self, index: int, ms: int, late_ms: int, peak: int, seed: int) -> None:
        member = self.member(index)
        count = max(ms * member.rate_hz // 1000, 1)
        sound = np.random.default_rng(seed).integers(-peak, peak, count, np.int16, endpoint=True)
        self.put(member, max(self.tick - late_ms, 0), ms, sound)

    @precondition(lambda self: self.members)
    @rule(index=INDEX, ms=st.integers(0, 31), late_ms=st.integers(0, 31))
    def take_any_block(self, index: int, ms: int, late_ms: int) -> None:
        self.take(self.member(index), max(self.tick - late_ms, 0), ms)

    @invariant()
    def counts_agree(self) -> None:
        for member in self.members:
            self.check_stats(lib.rw_mixer_member_stats(self.room, member.number), [member])
        total = ffi.new("rw_mixer_stats *")
        lib.rw_mixer_total_stats(self.room, total)
        self.check_stats(total, self.members + self.gone)

    @staticmethod
    def check_stats(stats, members: list[Member]) -> None:
        for name in ("missing_ms", "overtaken", "clipped_samples"):
            assert getattr(stats, name) == sum(getattr(member, name) for member in members)
        for name in ("given", "taken"):
            expected = sum((getattr(member, name) for member in members), Counter())
            counted = {verdict: n for verdict, n in enumerate(getattr(stats, name)) if n}
            assert counted == dict(expected)


TestMixer = MixerAgainstSums.TestCase
TestMixer.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
