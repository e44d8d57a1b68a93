"""The ways in which relook says no. Each message says what was expected, what was found, and what to do."""


class RelookError(Exception):
    """Something failed while doing a request that was in order. The command line exits with status 1."""

    exit_status = 1


class Interrupted(RelookError):
    """Somebody ended a training early. What was trained until then is kept."""


class WrongRequest(RelookError):
    """The request itself cannot be carried out. The command line exits with status 2."""

    exit_status = 2
