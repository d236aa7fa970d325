def split(cents, people):
    """The shares of `people` in `cents`."""
    return [cents // people] * people
