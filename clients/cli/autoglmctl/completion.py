"""What the shell may offer at Tab."""

_SECONDS = 0.5


def complete_session(incomplete: str) -> list[tuple[str, str]]:
    """Names of the user's sessions, with their lengths; none if the default daemon does not answer at once."""
    from openglm import NO_RETRIES, Client, OpenGLMError

    try:
        with Client(timeout=_SECONDS, retry=NO_RETRIES) as client:
            sessions = client.sessions()
    except OpenGLMError:
        return []
    return [(each.session_id, f"{each.turns} turns") for each in sessions if each.session_id.startswith(incomplete)]


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Names of the models that the default daemon serves, with their states; none if it does not answer at once."""
    # Only now: importing gRPC takes longer than a command line may wait for its other words.
    from openglm import NO_RETRIES, Client, OpenGLMError

    try:
        with Client(timeout=_SECONDS, retry=NO_RETRIES) as client:
            models = client.models()
    except OpenGLMError:
        return []
    return [(model.name, model.state) for model in models if model.name.startswith(incomplete)]
