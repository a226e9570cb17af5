"""What holds for every test."""

from hypothesis import settings

# A busy machine is no failure: examples are judged by their result, not by their time.
settings.register_profile("house", deadline=None)
settings.load_profile("house")
