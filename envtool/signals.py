"""Signals, as a program expects them that this process becomes."""

__all__ = ["restore"]


def restore() -> None:
    """Undo what Python ignores at its start: an ignored signal stays ignored across exec."""
    # The module under `signal`, whose enumerations take longer to make than `run` takes for all.
    import _signal  # type: ignore[import-not-found]

    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
