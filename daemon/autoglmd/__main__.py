"""`autoglmd serve`, `check-config`, `prepare`, `make-session-key` and `change-session-key`."""

import argparse
import asyncio
import contextlib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autoglmd.config.reading import load_config
from autoglmd.config.rooms import Config, ModelConfig
from autoglmd.errors.base import AutoglmError, ConfigError, HostError
from autoglmd.host.amx import amx_withheld
from autoglmd.host.places import usable_places
from autoglmd.host.sockets import check_length, group_id
from autoglmd.model.bundle import read_bundle, resolve_folder
from autoglmd.sessions.key import configured_seal, make_key_file, seal_of_file
from autoglmd.sessions.seal import Plain, Seal
from autoglmd.telemetry.log import configure_logging

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIG = 2
COMPUTING_THREADS = ("load-", "engine-", "prefetch-", "tokenize")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0 fine, 1 failed, 2 wrong usage or configuration."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except AutoglmError as error:
        _tell(error)
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    return EXIT_OK


def _tell(error: AutoglmError) -> None:
    print(f"autoglmd: {error.code}: {error.message}", file=sys.stderr)


def _run_check(options: argparse.Namespace) -> None:
    config = load_config(options.config, defaults=_defaults())
    # One that is about the file comes last: main() tells that one, and its kind is the exit status.
    refusals = sorted(_refusals(config), key=lambda error: isinstance(error, ConfigError))
    for error in refusals[:-1]:
        _tell(error)
    if refusals:
        raise refusals[-1]
    _print_config(config)


def _refusals(config: Config) -> Iterator[AutoglmError]:
    """What would end a start with this configuration, each as the start would say it."""
    # Imported late, here and below: --help needs no gRPC and no onnxruntime.
    from autoglmd.edge.credentials import listen_addresses, server_credentials

    server = config.server
    default = config.models[config.default_model]
    checks: tuple[Callable[[], object], ...] = (
        lambda: listen_addresses(server),
        lambda: server_credentials(server),
        lambda: check_length(server.socket.absolute()),
        lambda: server.socket_group and group_id(server.socket, server.socket_group),
        lambda: _check_session_key(config),
        lambda: read_bundle(resolve_folder(default.path)),
    )
    return filter(None, map(_refusal, checks))


def _check_session_key(config: Config) -> None:
    """Whether the key can be used, and is the one of the conversations that there are. Touches nothing.

    Without a key here there may be one all the same: systemd gives its credentials to the service alone.
    """
    from autoglmd.host.disk import Disk
    from autoglmd.sessions.key_check import check_key

    seal = configured_seal(config.sessions.key_file, os.environ)
    # A disk that does not tell ends no start.
    with contextlib.suppress(HostError):
        if seal.hides:
            check_key(config.state_dir / "sessions", seal, Disk())


def _refusal(check: Callable[[], object]) -> AutoglmError | None:
    try:
        check()
    except AutoglmError as error:
        return error
    return None


def _run_serve(options: argparse.Namespace) -> None:
    config = load_config(options.config, _overrides(options), _defaults())
    form = config.log.format
    configure_logging(config.log.level, form if form != "auto" else "text" if sys.stderr.isatty() else "json")
    try:
        asyncio.run(_serve(config, exit_with_parent=options.exit_with_parent))
    except AutoglmError as error:
        # For whoever reads the log by machine; main() tells the shell.
        logging.getLogger(__name__).critical("cannot serve: %s", error.message, extra={"code": error.code})
        raise
    _leave_threads_behind()


def _run_prepare(options: argparse.Namespace) -> None:
    from autoglmd.model.device import CPU

    with amx_withheld(unless=options.amx):
        from autoglmd.model.prepare import prepare

    prepare(read_bundle(options.bundle), options.folder, (CPU,))


def _run_make_key(options: argparse.Namespace) -> None:
    make_key_file(options.file)


def _run_change_key(options: argparse.Namespace) -> None:
    from autoglmd.host.disk import Disk
    from autoglmd.sessions.key_change import change_key

    state_dir = options.state_dir or load_config(options.config, defaults=_defaults()).state_dir
    folder = state_dir / "sessions"
    before, after = _seal_named(options.before), _seal_named(options.after)
    try:
        count = change_key(folder, before, after, Disk())
    except OSError as error:
        raise HostError(f"The key could not be changed: {error}. Run this again: it goes on where it was.") from error
    print(f"{count} conversations in {folder} were written anew.")


def _seal_named(name: str) -> Seal:
    return Plain() if name == "none" else seal_of_file(Path(name))


async def _serve(config: Config, *, exit_with_parent: bool) -> None:
    # With it comes onnxruntime, which asks for AMX at its import and never again.
    with amx_withheld(unless=config.amx):
        from autoglmd.app import Daemon, Surroundings
    from autoglmd.host.clock import SystemClock
    from autoglmd.host.systemd import notifier_of_this_process

    daemon = Daemon(config, Surroundings(SystemClock(), notifier_of_this_process()))
    if exit_with_parent:
        loop = asyncio.get_running_loop()

        def stop_at_end_of_input() -> None:
            while os.read(sys.stdin.fileno(), 4096):
                pass
            loop.call_soon_threadsafe(daemon.stop)

        threading.Thread(target=stop_at_end_of_input, name="parent-watch", daemon=True).start()
    await daemon.run()


def _leave_threads_behind() -> None:
    """End here and now if a thread would not end: one that loads a graph, or an engine deep in a step.

    Python would wait for none of them, but unwinding onnxruntime under their feet crashes.
    """
    if any(thread.name.startswith(COMPUTING_THREADS) for thread in threading.enumerate()):
        sys.stderr.flush()
        os._exit(EXIT_OK)


def _defaults() -> dict[str, Any]:
    places = usable_places(os.environ)
    return {"state_dir": str(places.state_dir), "server": {"socket": str(places.socket)}}


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    table: dict[str, Any] = {}
    # An empty word is one: of a script, whose variable is not set.
    server = {key: getattr(options, key) for key in ("socket", "listen") if getattr(options, key) is not None}
    if server:
        table["server"] = server
    if options.state_dir is not None:
        table["state_dir"] = options.state_dir
    if options.log_format:
        table["log"] = {"format": options.log_format}
    if options.model == "":
        raise ConfigError("--model is empty. Name a bundle's folder.")
    if options.model:
        folder = Path(options.model).absolute()
        name = _model_name(folder)
        table["models"] = {name: {"path": str(folder)}}
        table["default_model"] = name
        table["standard_models"] = False
    return table


def _model_name(folder: Path) -> str:
    """A name that the configuration takes: "my model" becomes "my-model", and what leaves nothing is "model"."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("-._")[:64] or "model"


def _print_config(config: Config) -> None:
    print("The configuration is sound.")
    # Permission bits as TOML octal, so that 440 is seen to be 0o670.
    print(f"  socket         {config.server.socket}, mode 0o{config.server.socket_mode:o}")
    print(f"  listen         {config.server.listen or '-'}")
    print(f"  state_dir      {config.state_dir}")
    for name, model in config.models.items():
        mark = " (default)" if name == config.default_model else ""
        print(f"  model          {name}{mark}: {model.path}, device {model.device}{_missing(model)}")


def _missing(model: ModelConfig) -> str:
    """Why it will not be served, which keeps no other from it."""
    folder = resolve_folder(model.path)
    refusal = _refusal(lambda: read_bundle(folder))
    if refusal is None:
        return ""
    return f", NOT SERVED: {refusal.message}" if folder.is_dir() else ", NOT ON THIS BOX"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autoglmd", description="Serves INT8 ONNX language models over gRPC.")
    parser.add_argument("--version", action="version", version=f"autoglmd {version('autoglmd')}")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve until SIGTERM")
    serve.set_defaults(run=_run_serve)
    check = commands.add_parser("check-config", help="read a configuration and say what is wrong with it")
    check.set_defaults(run=_run_check)
    prepare = commands.add_parser("prepare", help="make the copy of a bundle that loads fast on this host")
    prepare.set_defaults(run=_run_prepare)
    prepare.add_argument("bundle", type=Path, help="folder of the bundle")
    prepare.add_argument("folder", type=Path, help="folder to make or replace")
    prepare.add_argument("--amx", action="store_true", help="for a daemon with amx = true")
    make_key = commands.add_parser("make-session-key", help="make a key that conversations are encrypted with")
    make_key.set_defaults(run=_run_make_key)
    make_key.add_argument("file", type=Path, help="file to make")
    change_key = commands.add_parser("change-session-key", help="write conversations anew while no daemon runs")
    change_key.set_defaults(run=_run_change_key)
    for direction, dest in (("from", "before"), ("to", "after")):
        text = f'file of the key to change {direction}, or "none"'
        change_key.add_argument(f"--{direction}", dest=dest, required=True, metavar="FILE", help=text)
    change_key.add_argument("--state-dir", type=Path, metavar="DIR", help="where conversations lie")
    for command in (serve, check, change_key):
        command.add_argument("--config", type=Path, metavar="FILE", help="TOML file (default: built-in defaults)")
    serve.add_argument("--socket", metavar="PATH", help="Unix socket to listen on")
    serve.add_argument("--listen", metavar="HOST:PORT", help="also listen on TCP; beyond loopback only with TLS")
    serve.add_argument("--state-dir", metavar="DIR", help="where prepared models are kept")
    serve.add_argument("--model", metavar="DIR", help="serve this bundle and no other, under its folder's name")
    serve.add_argument("--log-format", choices=("auto", "json", "text"), help="how log lines look")
    serve.add_argument("--exit-with-parent", action="store_true", help="stop at the end of standard input")
    return parser


if __name__ == "__main__":
    sys.exit(main())
