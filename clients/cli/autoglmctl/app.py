"""The tree of commands. Nothing here imports gRPC, rich or a model tool: `--help` must not wait for them."""

import typer

from autoglmctl import bench, chat, generate, model, session, session_files, status, tokenize
from autoglmctl.help_pages import PlainGroup
from autoglmctl.parameters import Command, add_command
from autoglmctl.root import root

EXIT_CODES = (
    "Exit codes: 0 done; 1 error; 2 wrong usage; 3 no daemon reachable, or the connection lost; "
    "4 refused for now, try later; 130 interrupted."
)


def build_app() -> typer.Typer:
    """All commands, with the options that stand before them."""
    app = typer.Typer(
        name="autoglmctl",
        cls=PlainGroup,
        help="Talk to autoglmd: ask, chat, look at its state, make models.",
        epilog=EXIT_CODES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for name, command in _COMMANDS.items():
        add_command(app, name, command)
    models = typer.Typer(cls=PlainGroup, help="List, inspect, build and prepare models.", no_args_is_help=True)
    for name, command in _MODEL_COMMANDS.items():
        add_command(models, name, command, offline=command in _OFFLINE)
    app.add_typer(models, name="model")
    sessions = typer.Typer(
        cls=PlainGroup,
        help="The conversations that the daemon keeps: list, show, resume, fork, rewind, export, import, delete.",
        no_args_is_help=True,
    )
    for name, command in _SESSION_COMMANDS.items():
        add_command(sessions, name, command)
    for name in _DELETE_ALIASES:
        add_command(sessions, name, session.delete_session, hidden=True)
    app.add_typer(sessions, name="session")
    return app


_COMMANDS: dict[str, Command] = {
    "generate": generate.generate,
    "chat": chat.chat,
    "status": status.status,
    "tokenize": tokenize.tokenize,
    "bench": bench.bench,
}
_MODEL_COMMANDS: dict[str, Command] = {
    "list": model.list_models,
    "inspect": model.inspect_model,
    "build": model.build,
    "prepare": model.prepare,
}
_SESSION_COMMANDS: dict[str, Command] = {
    "list": session.list_sessions,
    "show": session.show_session,
    "resume": session.resume_session,
    "fork": session.fork_session,
    "rewind": session.rewind_session,
    "export": session_files.export_session,
    "import": session_files.import_session,
    "delete": session.delete_session,
}
# What people type who know it from elsewhere. Without them, `remove` would be told that it is nearly `resume`.
_DELETE_ALIASES = ("rm", "remove")
_OFFLINE: tuple[Command, ...] = (model.build, model.prepare)
