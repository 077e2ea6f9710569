# TimerWheel: the C wheel for protocol timers, with Python callbacks.

from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject

cdef struct owned_timer:
    rw_timer timer  # first member: a pointer to it is a pointer to the whole
    PyObject *owner


cdef class Timer:
    """One armed timer of a :class:`TimerWheel`. The wheel keeps it alive until it ends."""

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

        OverflowError: that is beyond 64 bits.
        """
        if delay_ms >= RW_WHEEL_NEVER - self.wheel.now_tick:
            raise OverflowError("the deadline is beyond 64 bits")
        cdef Timer timer = Timer.__new__(Timer)
        timer.wheel = self
        timer.callback = callback
        timer.entry.owner = <PyObject *>timer
        rw_wheel_arm(&self.wheel, &timer.entry.timer, self.wheel.now_tick + delay_ms)
        Py_INCREF(timer)
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

    def clear(self) -> None:
        """Cancel every timer, calling none (for shutdown). Time stays where it is."""
        cdef uint64_t now_tick = self.wheel.now_tick
        cdef rw_timer *expired
        rw_wheel_advance(&self.wheel, RW_WHEEL_NEVER)
        while True:
            expired = rw_wheel_pop_due(&self.wheel)
            if expired == NULL:
                break
            (<Timer>(<owned_timer *>expired).owner)._ended()
        rw_wheel_init(&self.wheel, now_tick)
