# TimerWheel: the C wheel for protocol timers, with Python callbacks. WheelClock: one that runs by an
# event loop.

import asyncio

from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

cdef struct owned_timer:
    rw_timer timer  # first member: a pointer to it is a pointer to the whole
    PyObject *owner


cdef class Timer:
    """One armed timer of a :class:`TimerWheel`. The wheel keeps it alive until it ends.

    What is a callback itself derives from it: then no other object is needed to arm it.
    """

    cdef owned_timer entry
    cdef TimerWheel wheel
    cdef object callback

    def cancel(self) -> bool:
        """Take the timer back; False if it has expired or was cancelled before."""
        if self.wheel is None or not rw_wheel_cancel(&self.wheel.wheel, &self.entry.timer):
            return False
        self._ended()
        return True

    @property
    def pending(self) -> bool:
        """True until the timer expires or is cancelled."""
        return rw_timer_armed(&self.entry.timer)

    cdef _ended(self):
        self.wheel = None
        self.callback = None
        Py_DECREF(self)


cdef class TimerWheel:
    """Timers in whole milliseconds over the C wheel; it reads no clock, time is passed in.

    ``now_ms`` is any monotonic count of milliseconds. One thread owns a wheel.
    """

    cdef rw_wheel wheel

    def __cinit__(self, uint64_t now_ms):
        rw_wheel_init(&self.wheel, now_ms)

    @property
    def now_ms(self) -> int:
        """The time of the last :meth:`advance`."""
        return self.wheel.now_tick

    def __len__(self) -> int:
        return self.wheel.armed

    def arm(self, uint64_t delay_ms, callback) -> Timer:
        """Call ``callback()`` in the advance that reaches now + ``delay_ms`` (at least 1 ms).

        A callback that is a `Timer` is armed itself, or moved if it is armed on this wheel.
        OverflowError: that is beyond 64 bits.
        """
        if delay_ms >= RW_WHEEL_NEVER - self.wheel.now_tick:
            raise OverflowError("the deadline is beyond 64 bits")
        return self.arm_at(self.wheel.now_tick + delay_ms, callback)

    cdef Timer arm_at(self, uint64_t deadline_ms, callback):
        cdef Timer timer = callback if isinstance(callback, Timer) else Timer.__new__(Timer)
        if timer.wheel is not None and timer.wheel is not self:
            timer.cancel()
        if timer.wheel is None:
            timer.wheel = self
            timer.callback = callback
            timer.entry.owner = <PyObject *>timer
            Py_INCREF(timer)
        rw_wheel_arm(&self.wheel, &timer.entry.timer, deadline_ms)
        return timer

    def next_ms(self):
        """A time not later than the earliest deadline, at which to advance; None if idle."""
        cdef uint64_t tick = rw_wheel_next_tick(&self.wheel)
        return None if tick == RW_WHEEL_NEVER else tick

    def advance(self, uint64_t now_ms) -> int:
        """Move time on and call what expired; returns how many. Callbacks must not raise."""
        cdef rw_timer *expired
        cdef Timer timer
        cdef int count = 0
        rw_wheel_advance(&self.wheel, now_ms)
        while True:
            expired = rw_wheel_pop_due(&self.wheel)
            if expired == NULL:
                return count
            timer = <Timer>(<owned_timer *>expired).owner
            callback = timer.callback
            timer._ended()
            callback()
            count += 1
            # Here and not in the next round, between a pop and its end: what is dropped may have a
            # destructor, and that may arm any timer anew.
            timer = callback = None

    def clear(self) -> None:
        """Cancel every timer, calling none (for shutdown). Time stays where it is."""
        cdef uint64_t now_tick = self.wheel.now_tick
        cdef rw_timer *expired
        cdef Timer timer
        # Dropped when the wheel is whole again: a destructor may arm any timer anew.
        cdef list ended = []
        rw_wheel_advance(&self.wheel, RW_WHEEL_NEVER)
        while True:
            expired = rw_wheel_pop_due(&self.wheel)
            if expired == NULL:
                break
            timer = <Timer>(<owned_timer *>expired).owner
            ended.append(timer)
            ended.append(timer.callback)
            timer._ended()
        rw_wheel_init(&self.wheel, now_tick)


cdef enum:
    # Timers from 5 s on, of which each call leaves two behind, expire in groups, up to 128 ms late.
    COARSE_FROM_MS = 5_000
    COARSE_MS = 128


cdef class WheelClock:
    """`Timers` over a C wheel, driven by one timer of the event loop, at most one a tick."""

    cdef TimerWheel timers
    cdef object failed
    cdef object loop
    cdef object time_s
    cdef object handle  # the loop's timer, due at wake_ms; None: nothing is armed
    cdef uint64_t wake_ms

    def __init__(self, failed):
        """``failed`` is told in an ``except`` block that a callback raised."""
        self.timers = TimerWheel(0)
        self.failed = failed

    cdef uint64_t read_ms(self) except? 0:
        if self.loop is None:
            return self.timers.wheel.now_tick
        return <uint64_t>(<double>self.time_s() * 1_000)

    @property
    def now_ms(self) -> int:
        """The event loop's clock in milliseconds; what the wheel shows before the start."""
        return self.read_ms()

    def __len__(self) -> int:
        return self.timers.wheel.armed

    def start(self) -> None:
        """Run on the running event loop from now on."""
        self.loop = asyncio.get_running_loop()
        self.time_s = self.loop.time
        self.timers.advance(self.read_ms())
        self.schedule()

    def stop(self) -> None:
        """Drop every timer."""
        self.timers.clear()
        if self.handle is not None:
            self.handle.cancel()
        self.handle = self.loop = self.time_s = None

    def arm(self, int64_t delay_ms, callback) -> Timer:
        """See `Timers`. The wheel shows the time of its last wake-up, so the clock is read."""
        cdef uint64_t deadline_ms = self.read_ms() + max(1, delay_ms)
        if delay_ms >= COARSE_FROM_MS:
            deadline_ms = (deadline_ms + COARSE_MS - 1) // COARSE_MS * COARSE_MS
        timer = self.timers.arm_at(deadline_ms, callback)
        if self.loop is not None and (self.handle is None or deadline_ms < self.wake_ms):
            self.wake_at(deadline_ms)
        return timer

    cdef wake_at(self, uint64_t time_ms):
        if self.handle is not None:
            self.handle.cancel()
        self.wake_ms = time_ms
        self.handle = self.loop.call_at(time_ms / 1_000, self._wake)

    cdef schedule(self):
        cdef uint64_t next_ms = rw_wheel_next_tick(&self.timers.wheel)
        if next_ms != RW_WHEEL_NEVER and self.loop is not None:
            self.wake_at(max(next_ms, self.timers.wheel.now_tick + 1))

    def _wake(self):
        self.handle = None
        try:
            # A loop may wake up to its clock's resolution early: never before the tick asked for.
            self.timers.advance(max(self.read_ms(), self.wake_ms))
        except Exception:  # one bad callback must not stop all timers
            self.failed("timer")
        self.schedule()
