"""What is said before something takes long."""


def announce(what: str, seconds: float) -> None:
    """Print how long something is going to take when that is more than a minute."""
    if seconds > 60:
        print(f"{what}: about {round(seconds / 60)} minutes", flush=True)
