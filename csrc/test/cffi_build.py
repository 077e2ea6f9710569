"""cffi binding of C internals for property tests (Hypothesis); not part of an ordinary install."""

from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parents[2]

ffi = FFI()
ffi.cdef(
    """
    typedef struct rw_timer { uint64_t deadline_tick; ...; } rw_timer;
    typedef struct rw_wheel { uint64_t now_tick; size_t armed; ...; } rw_wheel;
    void rw_wheel_init(rw_wheel *wheel, uint64_t now_tick);
    void rw_wheel_arm(rw_wheel *wheel, rw_timer *timer, uint64_t deadline_tick);
    bool rw_wheel_cancel(rw_wheel *wheel, rw_timer *timer);
    void rw_wheel_advance(rw_wheel *wheel, uint64_t now_tick);
    rw_timer *rw_wheel_pop_due(rw_wheel *wheel);
    uint64_t rw_wheel_next_tick(const rw_wheel *wheel);
    int rw_wheel_check(const rw_wheel *wheel);
    """
)
ffi.set_source(
    "ringwheel._testcore",
    '#include "wheel/wheel.h"',
    include_dirs=[str(ROOT / "csrc")],
    extra_objects=[str(ROOT / "build" / "meson" / "libringwheel.a")],
    libraries=["pthread", "m"],
)
