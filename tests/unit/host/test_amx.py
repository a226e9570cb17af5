"""Keeping AMX from onnxruntime: in processes of their own, because a process keeps what it was lent."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autoglmd.host.amx import amx_withheld, has_amx

ON_AMX = pytest.mark.skipif(not has_amx(), reason="this processor, or its kernel, has no AMX")
MODEL = Path(__file__).parents[2] / "fixtures" / "models" / "tiny-per-token" / "model.onnx"
ASK = """
import contextlib, sys
from autoglmd.host.amx import amx_is_lent, amx_withheld
with amx_withheld() if sys.argv[1] == "withheld" else contextlib.nullcontext():
    import onnxruntime
onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
print(amx_is_lent())
"""
LARGER = """
import ctypes, faulthandler
from autoglmd.host.amx import amx_is_lent, amx_withheld
with amx_withheld():
    faulthandler.enable()
    refused = ctypes.CDLL(None).syscall(158, 0x1023, 18)
    print(not refused, amx_is_lent())
"""
SIGNAL = """
import os, signal
from autoglmd.host.amx import amx_withheld
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
with amx_withheld():
    os.kill(os.getpid(), signal.SIGUSR1)
    print(heard, signal.SIGUSR1 in signal.sigpending(), end=" ")
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
print(heard)
"""


def said(program: str, *arguments: str) -> str:
    """What a Python program prints."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@ON_AMX
def test_onnxruntime_is_not_lent_amx_where_it_was_imported_without() -> None:
    """Also not when it loads a model later: it asks once."""
    assert said(ASK, "withheld", str(MODEL)) == "False"


@ON_AMX
def test_onnxruntime_takes_amx_where_nobody_withholds_it() -> None:
    """The other test would pass of itself if onnxruntime had no use for it."""
    assert said(ASK, "lent", str(MODEL)) == "True"


@ON_AMX
def test_a_library_cannot_get_it_by_a_larger_signal_stack_of_its_own() -> None:
    """As some do to be lent it; so ours is another thread's."""
    assert said(LARGER) == "False False"


@ON_AMX
def test_no_signal_goes_to_the_thread_whose_stack_is_too_small_for_it() -> None:
    """Where no other thread takes it, it waits."""
    assert said(SIGNAL) == "[] True [1]"


@ON_AMX
def test_the_thread_stands_there_during_the_block_alone() -> None:
    """Also where the block ends with an error."""
    before = threading.active_count()
    with amx_withheld():
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    with pytest.raises(RuntimeError), amx_withheld():
        raise RuntimeError
    assert threading.active_count() == before


def test_nothing_is_withheld_where_the_caller_says_so() -> None:
    """No thread is started."""
    before = threading.active_count()
    with amx_withheld(unless=True):
        assert threading.active_count() == before
