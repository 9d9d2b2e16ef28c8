"""Property tests take the time that they need: a busy machine is not a failure."""

from hypothesis import HealthCheck, settings

settings.register_profile("flatdex", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("flatdex")
