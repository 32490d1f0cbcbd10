"""What all tests share: the profiles by which Hypothesis draws its examples."""

from hypothesis import settings

settings.register_profile("repeatable", deadline=None, max_examples=60, derandomize=True, database=None)
settings.register_profile("seeded", deadline=None, max_examples=60, database=None)
settings.register_profile("fuzz", deadline=None, max_examples=600, database=None)
settings.load_profile("repeatable")  # the same examples everywhere; make fuzz and .ci/run name the others
