"""One wording for numbers that are out of range."""


def check_number(key: str, value: int, low: int, high: int | None = None) -> None:
    """Raise ValueError unless ``value`` is a whole number from ``low`` to ``high``."""
    if not isinstance(value, int) or value < low or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"{low} to {high:,}"
        raise ValueError(f"{key}={value} is out of range: choose a whole number, {allowed}")
