"""Words that depend on a number."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and what it counts: 1 image, 2 images, 3 copies."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
