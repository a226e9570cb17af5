"""What `import openglm` offers, and what it must not drag in."""

import inspect
import subprocess
import sys

import openglm
from openglm import _errors


def test_all_is_sorted_and_complete() -> None:
    """Every public name of the package is in `__all__`, constants first, then by name; each once."""
    public = {name for name, value in vars(openglm).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert set(openglm.__all__) == public
    assert len(set(openglm.__all__)) == len(openglm.__all__)
    assert openglm.__all__ == sorted(openglm.__all__, key=lambda name: (not name.isupper(), name))


def test_every_error_is_exported_and_has_a_code_of_its_own() -> None:
    """Whoever catches an error can name it, and a program can tell it by its code.

    Except for a model that failed: that is one that is not ready, and says so by its state.
    """
    kinds = [value for value in vars(_errors).values() if inspect.isclass(value)]
    errors = [kind for kind in kinds if issubclass(kind, openglm.OpenGLMError)]
    assert {error.__name__ for error in errors} <= set(openglm.__all__)
    codes = [error.code for error in errors if error is not openglm.ModelFailedError]
    assert len(set(codes)) == len(codes)


def test_the_error_tree_in_the_docstring_is_the_tree() -> None:
    """The drawing at the top of `_errors.py` shows every class under its parent."""
    assert _errors.__doc__ is not None
    drawn: dict[str, str] = {}
    ancestors: list[str] = []
    for line in _errors.__doc__.splitlines():
        bare = line.lstrip("│├└─ ")
        if not bare or not bare.split()[0].endswith("Error"):
            continue
        depth = (len(line) - len(bare)) // 4
        name = bare.split()[0]
        drawn[name] = ancestors[depth - 1] if depth else ""
        ancestors[depth:] = [name]
    defined = {
        name: value.__mro__[1].__name__ if name != "OpenGLMError" else ""
        for name, value in vars(_errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert drawn == defined


def test_the_client_does_not_import_the_daemon() -> None:
    """`import openglm` stays light: neither the daemon nor an inference runtime comes with it."""
    code = "import sys, openglm; print([m for m in ('autoglmd', 'onnxruntime', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
