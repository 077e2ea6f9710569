# cython: language_level=3
"""Cython binding of the C core: checks arguments, calls, converts errors; holds no logic."""

include "binding/extern.pxi"
include "binding/extern_shard.pxi"
include "binding/extern_sip.pxi"
include "binding/extern_srtp.pxi"
include "binding/extern_vad.pxi"
include "binding/timers.pxi"
include "binding/codec.pxi"
include "binding/shard.pxi"
include "binding/sip.pxi"
include "binding/srtp.pxi"
include "binding/vad.pxi"
