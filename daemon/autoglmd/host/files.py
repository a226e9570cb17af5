"""Folders that are whole after a power cut: the old one or the new one, never a mixture.

A rename is atomic for whoever looks, but not durable, and data may reach the disk after the rename that
shows it. So the order is always: write beside the target, fsync the data, rename, fsync the folder that
holds the name. Recovery: see `recover_directory`.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Make a folder durable with all that is in it: files first, then the names that lead to them."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            _sync_file(Path(folder) / name)
        sync_directory(Path(folder))


@contextlib.contextmanager
def replacing_directory(target: Path) -> Iterator[Path]:
    """Fill the yielded empty folder; when the block ends, it takes the target's place and is durable.

    One writer per target at a time: a second one waits. If the block raises, the target is as it was.

    Yields:
        A folder beside the target, on the same file system.

    Raises:
        OSError: the disk is full, the folder not writable. The target is as it was.
    """
    with locked_directory(target):
        recover_directory(target)
        staging, retired = _beside(target)
        staging.mkdir()
        try:
            yield staging
            sync_tree(staging)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        _swap(target, staging, retired)


@contextlib.contextmanager
def locked_directory(target: Path) -> Iterator[None]:
    """One writer per target, across processes. The kernel drops a dead writer's lock; the lock file stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(_lock_of(target), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def reading_directory(target: Path) -> Iterator[None]:
    """While the block runs, no writer replaces the target; one that is at it is waited for.

    Without a lock file that we may open, nobody has written here, or nobody whom we could hold up: we just read.
    """
    try:
        descriptor = os.open(_lock_of(target), os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def recover_directory(target: Path) -> None:
    """Finish or undo what a crash interrupted. Harmless at any other time, except beside a running writer.

    Linux renames a folder over an empty one only, so replacing takes two renames, target to `.NAME.old` and
    `.NAME.new` to target, and a crash can fall between them. `.NAME.new` is fsynced before the first of them:

    | target | .new | .old | the crash fell            | so                            |
    |--------|------|------|---------------------------|-------------------------------|
    | any    | yes  | no   | while filling             | delete .new: it may be torn   |
    | no     | yes  | yes  | between the renames       | go on: .new to target         |
    | no     | no   | yes  | as above, .new was lost   | go back: .old to target       |
    | yes    | any  | yes  | before .old was deleted   | delete .old (and .new)        |
    """
    staging, retired = _beside(target)
    if retired.exists() and not target.exists():
        (staging if staging.exists() else retired).rename(target)
        sync_directory(target.parent)
    for leftover in (staging, retired):
        if leftover.exists():
            shutil.rmtree(leftover)


def _swap(target: Path, staging: Path, retired: Path) -> None:
    if target.exists():
        target.rename(retired)
    staging.rename(target)
    sync_directory(target.parent)
    shutil.rmtree(retired, ignore_errors=True)


def _beside(target: Path) -> tuple[Path, Path]:
    return target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")


def _lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _sync_file(path: Path) -> None:
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
