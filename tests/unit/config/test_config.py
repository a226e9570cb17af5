"""The configuration file: strict, and every refusal names the key and the way out."""

from pathlib import Path

import pytest

from autoglmd.config.reading import load_config, parse_config
from autoglmd.config.rooms import Config, ServerConfig, SessionsConfig
from autoglmd.errors.base import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    """A configuration file."""
    path = tmp_path / "autoglmd.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(tmp_path: Path, text: str) -> str:
    """What is said of a file that is not taken."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert error.value.message.startswith(f"{path}: ")
    return error.value.message.removeprefix(f"{path}: ")


def test_without_a_file_there_are_defaults() -> None:
    """The embedded model, the two standard names, a Unix socket, no TCP."""
    config = load_config(None)
    assert list(config.models) == ["glm-small", "glm-base", "glm-large"]
    assert config.models["glm-small"].path == "bundled:glm-small"
    assert config.default_model == "glm-small"
    assert str(config.server.socket) == "/run/autoglmd/autoglmd.sock"
    assert (config.server.listen, config.engine.rows) == (None, 8)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Every room, with its types: paths, octal modes, numbers, choices, names."""
    text = """
        state_dir = "/srv/autoglmd"
        default_model = "mine"
        amx = true
        [server]
        socket = "/tmp/a.sock"
        socket_mode = 0o600
        drain_seconds = 3
        listen = "127.0.0.1:5000"
        [log]
        level = "debug"
        [engine]
        rows = 4
        prefill_padding = 0.5
        [models.mine]
        path = "/srv/m"
        device = "cpu"
        prepare = false
        [models.mine.engine]
        rows = 2
    """
    config = load_config(written(tmp_path, text))
    assert (config.state_dir, config.amx) == (Path("/srv/autoglmd"), True)
    assert config.server == ServerConfig(
        socket=Path("/tmp/a.sock"),  # noqa: S108
        socket_mode=0o600,
        drain_seconds=3.0,
        listen="127.0.0.1:5000",
    )
    assert (config.log.level, config.log.format) == ("debug", "auto")
    mine = config.models["mine"]
    assert (mine.device, mine.prepare, mine.engine.rows) == ("cpu", False, 2)


def test_a_models_engine_is_the_common_one_with_its_own_keys_over_it(tmp_path: Path) -> None:
    """[engine] holds for all models, [models.NAME.engine] for one."""
    text = """
        [engine]
        rows = 4
        max_tokens = 99
        [models.a]
        path = "/a"
        engine = { rows = 2 }
        [models.b]
        path = "/b"
    """
    models = load_config(written(tmp_path, text)).models
    assert [(models[name].engine.rows, models[name].engine.max_tokens) for name in ("a", "b", "glm-base")] == [
        (2, 99),
        (4, 99),
        (4, 99),
    ]


def test_the_standard_names_follow_the_state_dir_and_can_be_left_out(tmp_path: Path) -> None:
    """glm-base and glm-large are where they would be installed."""
    config = load_config(written(tmp_path, 'state_dir = "/s"'))
    assert config.models["glm-base"].path == "/s/bundles/glm-base"
    text = 'standard_models = false\ndefault_model = "a"\n[models.a]\npath = "/a"'
    assert list(load_config(written(tmp_path, text)).models) == ["a"]


@pytest.mark.parametrize("standard", ["true", "false"])
def test_a_standard_name_keeps_its_path_where_the_file_gives_none(tmp_path: Path, standard: str) -> None:
    """So one key of it can be set; with standard_models = false it is then the only one."""
    text = f"""
        standard_models = {standard}
        [engine]
        max_tokens = 99
        [models.glm-small]
        device = "cpu"
        engine = {{ rows = 2 }}
    """
    config = load_config(written(tmp_path, text))
    assert len(config.models) == (3 if standard == "true" else 1)
    small = config.models["glm-small"]
    assert (small.path, small.device) == ("bundled:glm-small", "cpu")
    assert (small.engine.rows, small.engine.max_tokens) == (2, 99)
    own = load_config(written(tmp_path, '[models.glm-small]\npath = "/own"'))
    assert own.models["glm-small"].path == "/own"


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    """Key by key: what it does not name stays as the file has it."""
    path = written(tmp_path, '[server]\nsocket = "/a"\ndrain_seconds = 7\n[log]\nlevel = "error"')
    config = load_config(path, {"server": {"socket": "/b"}, "log": {"format": "text"}})
    assert (str(config.server.socket), config.server.drain_seconds) == ("/b", 7.0)
    assert (config.log.level, config.log.format) == ("error", "text")


def test_the_file_goes_over_what_depends_on_the_user(tmp_path: Path) -> None:
    """Both the command line and the file win over the places that this user can write to."""
    own = {"state_dir": "/own", "server": {"socket": "/own.sock"}}
    path = written(tmp_path, '[server]\nsocket = "/a"')
    assert (config := load_config(path, None, own)).state_dir == Path("/own")
    assert config.server.socket == Path("/a")
    assert load_config(path, {"state_dir": "/b"}, own).state_dir == Path("/b")
    assert load_config(None, None, own).server.socket == Path("/own.sock")


def test_nothing_changes_after_loading() -> None:
    """The whole configuration is frozen."""
    config = load_config(None)
    with pytest.raises(AttributeError):
        config.server.drain_seconds = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sever = 1", "unknown key 'sever'. Did you mean 'server'?"),
        ("[server]\nsokcet = '/x'", "unknown key 'server.sokcet'. Did you mean 'socket'?"),
        ("[engine]\nrow = 4", "unknown key 'engine.row'. Did you mean 'rows'?"),
        ("[engine]\nzzz = 4", "unknown key 'engine.zzz'. Known: rows, context_tokens,"),
        ("[models.a]\npath = '/a'\npaht = 1", "unknown key 'models.a.paht'. Did you mean 'path'?"),
        ("[models.a]\npath = '/a'\n[models.a.engine]\nthread = 1", "'models.a.engine.thread'. Did you mean 'threads'?"),
        ("[engine]\nrows = 0", "engine.rows = 0 is outside 1 to 256."),
        ("[engine]\nrows = -3", "engine.rows = -3 is outside 1 to 256."),
        ("[engine]\ncontext_tokens = 99999999", "engine.context_tokens = 99999999 is outside 16 to 1048576."),
        ("[engine]\nkv_bytes = 2000000000000", "engine.kv_bytes = 2000000000000 is outside 0 to 1099511627776."),
        ("[engine]\nprefill_padding = 0.95", "engine.prefill_padding = 0.95 is outside 0 to 0.9."),
        ("[server]\ndrain_seconds = nan", "server.drain_seconds = nan is outside 0 to 3600."),
        ("[server]\ndrain_seconds = inf", "server.drain_seconds = inf is outside 0 to 3600."),
        ("[server]\nsocket_mode = 0o1777", "server.socket_mode = 1023 is outside 0 to 0o777."),
        ("[server]\nsocket_mode = 660", "server.socket_mode = 660 is outside 0 to 0o777. Did you mean 0o660?"),
        ("[engine]\nrows = 4.5", "engine.rows must be an integer, not 4.5."),
        ("[engine]\nrows = '4'", "engine.rows must be an integer, not '4'."),
        ("[engine]\nrows = true", "engine.rows must be an integer, not True."),
        ("[server]\ndrain_seconds = 'long'", "server.drain_seconds must be a number, not 'long'."),
        ("[server]\nsocket = 5", "server.socket must be a string, not 5."),
        ("[server]\ntls_cert = false", "server.tls_cert must be a string, not False."),
        ("[models.a]\npath = '/a'\nprepare = 1", "models.a.prepare must be true or false, not 1."),
        ("engine = 5", "engine must be a table, not 5."),
        ("models = []", "models must be a table, not []."),
        ("[models]\na = '/a'", "models.a must be a table, not '/a'."),
        ("state_dir = 1", "state_dir must be a string, not 1."),
        (
            "[log]\nlevel = 'debugg'",
            "log.level = 'debugg' is not one of debug, info, warning, error. Did you mean 'debug'?",
        ),
        ("[models.a]\npath = '/a'\ndevice = 'gpu'", "models.a.device = 'gpu' is not one of auto, cpu, cuda, tensorrt."),
        ("[models.a]\ndevice = 'cpu'", "models.a.path is missing. Name the bundle's folder."),
        ("default_model = 'glm-smal'", "default_model = 'glm-smal' is not in [models]. Did you mean 'glm-small'?"),
        (
            "standard_models = false",
            "no models are configured. Add [models.NAME] with its path, or leave standard_models",
        ),
        ("[models.'../x']\npath = '/a'", "models.../x: a model's name is 1 to 64 letters, digits,"),
        ("[models.'']\npath = '/a'", "a model's name is 1 to 64 letters, digits,"),
        ("rows = = 4", "not valid TOML"),
        ("[server]\n[server]", "not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_the_way_out(tmp_path: Path, text: str, said: str) -> None:
    """Unknown keys name the nearest known one; values name their range, their type, or their choices."""
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize("mode", ["690", "1777", "0xfff"])
def test_octal_is_suggested_only_where_it_would_be_taken(tmp_path: Path, mode: str) -> None:
    """Digits that octal does not have, and permission bits that the key does not."""
    assert refusal(tmp_path, f"[server]\nsocket_mode = {mode}").endswith("is outside 0 to 0o777.")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, a folder, or not text."""
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read: No such file"):
        load_config(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe = 1")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path / "binary.toml")


def test_mistakes_on_the_command_line_are_refused_as_well() -> None:
    """Overrides pass the same checks; their source is called the defaults."""
    with pytest.raises(ConfigError, match=r"defaults: unknown key 'server\.sockt'"):
        load_config(None, {"server": {"sockt": "/x"}})


def test_a_parsed_table_gives_the_same_as_its_file(tmp_path: Path) -> None:
    """load_config is reading and parse_config."""
    from_table: Config = parse_config({"engine": {"rows": 3}}, "test")
    assert from_table == load_config(written(tmp_path, "[engine]\nrows = 3"))


def test_conversations_are_read_ahead_also_where_none_stay_in_memory() -> None:
    """Without, each would wait until the one before it has a row: half of the rows of a small model stood empty."""
    assert SessionsConfig(memory_bytes=0).past_bytes == 64 << 20
    assert SessionsConfig(memory_bytes=1 << 30).past_bytes == 1 << 30
