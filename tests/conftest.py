"""Settings that every test runs under."""

from hypothesis import settings

# A busy machine is no failure: examples have no deadline, the run as a whole has (pytest-timeout).
settings.register_profile("ringwheel", deadline=None)
settings.load_profile("ringwheel")
