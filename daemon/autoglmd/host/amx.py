"""Keeping the processor's AMX unit from a library that would use it wherever it can.

Linux lends the unit to a process that asks for it, and refuses one of whose threads has an alternative signal stack
too small for a signal frame with AMX's registers in it (https://docs.kernel.org/arch/x86/xstate.html). A library that
is refused takes its other kernels, for as long as the process lives.
"""

import contextlib
import ctypes
import platform
import signal
import sys
import threading
from collections.abc import Iterator

_AT_MINSIGSTKSZ = 51
_SYS_ARCH_PRCTL = 158
_ARCH_GET_XCOMP_SUPP = 0x1021
_ARCH_GET_XCOMP_PERM = 0x1022
_TILE_DATA = 1 << 18
_SS_DISABLE = 2
_HALF_OF_TILES = 4096
"""Bytes. AMX's registers are 8 KiB of the largest frame: a stack with half of them holds every other frame."""


class _Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def has_amx() -> bool:
    """Whether processor and kernel have the unit."""
    return _names_tiles(_ARCH_GET_XCOMP_SUPP)


def amx_is_lent() -> bool:
    """Whether this process has asked for the unit and got it."""
    return _names_tiles(_ARCH_GET_XCOMP_PERM)


@contextlib.contextmanager
def amx_withheld(unless: bool = False) -> Iterator[None]:
    """While the block runs, nobody in this process is lent the unit. Who asked before it keeps what it has.

    Nothing is withheld if `unless` is true, or where there is no AMX.
    """
    if unless or not has_amx():
        yield
        return
    standing, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=_stand_in_the_way, args=(standing, done), name="amx-withheld", daemon=True)
    thread.start()
    try:
        standing.wait()
        yield
    finally:
        done.set()
        thread.join()


def _stand_in_the_way(standing: threading.Event, done: threading.Event) -> None:
    """Be a thread with a small signal stack. One that does nothing else, so that no library gives it a larger one."""
    try:
        # No signal comes here, so that the stack need not hold a handler as well.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        libc = _libc()
        size = libc.getauxval(_AT_MINSIGSTKSZ) - _HALF_OF_TILES
        space = ctypes.create_string_buffer(size)
        # Should the kernel not want it, AMX is lent after all: slower for some, wrong for nobody.
        libc.sigaltstack(ctypes.byref(_Stack(ctypes.addressof(space), 0, size)), None)
    finally:
        standing.set()
    done.wait()
    libc.sigaltstack(ctypes.byref(_Stack(None, _SS_DISABLE, 0)), None)


def _names_tiles(question: int) -> bool:
    """Ask arch_prctl(2) for a set of features. A kernel that does not know the question has none."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return False
    features = ctypes.c_uint64()
    failed = _libc().syscall(_SYS_ARCH_PRCTL, question, ctypes.byref(features))
    return not failed and bool(features.value & _TILE_DATA)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    libc.syscall.restype = ctypes.c_long
    return libc
