"""What the shell may offer at Tab."""

_SECONDS = 0.5


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
