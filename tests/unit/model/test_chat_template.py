"""Chat templates come with a bundle, so they are rendered as strangers' code."""

from pathlib import Path

import pytest

from autoglmd.errors.model import TokenizerError
from autoglmd.errors.request import InvalidArgumentError
from autoglmd.messages.generation import Message
from autoglmd.model.chat_template import ChatTemplate

HELLO = (Message("user", "你好"),)


def rendered(source: str, messages: tuple[Message, ...] = HELLO, **tokens: str) -> str:
    """A template's text."""
    return ChatTemplate(source, tokens).render(messages)


def test_messages_become_the_text_that_ends_where_the_answer_begins() -> None:
    """Roles, contents, the model's own tokens and the generation prompt are there."""
    source = (
        "{{ bos_token }}{% for message in messages %}\n<|{{ message['role'] }}|>{{ message.content }}\n    {% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    assert rendered(source, bos_token="[gMASK]") == "[gMASK]<|user|>你好\n<|assistant|>"  # noqa: S106


@pytest.mark.parametrize(
    "attack",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ strftime_now.__globals__['__builtins__'] }}",
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{{ '{0.__class__.__mro__}'.format_map({'0': 1}) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{% for i in range(1000000000) %}{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
    ],
)
def test_a_template_cannot_reach_out_of_its_sandbox(attack: str) -> None:
    """Attributes of Python's own, changes to what it was given, endless ranges and other files are refused."""
    with pytest.raises(InvalidArgumentError, match="refuses these messages"):
        rendered(attack)


@pytest.mark.parametrize(
    "peek",
    [
        "{{ ''.__class__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ ''|attr('__class__') }}",
        "{{ '{0.__class__}'.format(messages) }}",
        "{{ (messages | list).__class__ }}",
    ],
)
def test_a_template_that_only_prints_what_it_may_not_see_prints_nothing(peek: str) -> None:
    """Jinja shows an attribute of Python's own as undefined."""
    assert rendered(peek) == ""


def test_a_template_can_refuse_messages_with_its_own_words() -> None:
    """raise_exception is how templates say that a role is unknown to them."""
    source = "{% if messages[0].role != 'system' %}{{ raise_exception('begin with system') }}{% endif %}"
    with pytest.raises(InvalidArgumentError, match="begin with system") as refusal:
        rendered(source)
    assert refusal.value.field == "chat"


@pytest.mark.parametrize("broken", ["{{ 1 / 0 }}", "{{ messages[9].role.x }}", "{{ {}['a']['b'] }}", "{{ 'x' + 1 }}"])
def test_a_template_that_fails_on_these_messages_is_an_error_of_the_request(broken: str) -> None:
    """Whatever goes wrong inside a template, the client hears it as one kind of error."""
    with pytest.raises(InvalidArgumentError):
        rendered(broken)


def test_json_in_templates_keeps_chinese_as_it_is() -> None:
    """The filter tojson is json.dumps, not the HTML-safe one of Jinja."""
    assert rendered("{{ {'城市': '北京 <b>&'} | tojson }}") == '{"城市": "北京 <b>&"}'
    assert rendered("{{ [1] | tojson(indent=2) }}") == "[\n  1\n]"


def test_templates_may_know_the_date_and_break_loops() -> None:
    """What transformers offers is offered: strftime_now, break and continue."""
    assert len(rendered("{{ strftime_now('%Y') }}")) == 4
    assert rendered("{% for i in range(9) %}{% if i > 1 %}{% break %}{% endif %}{{ i }}{% endfor %}") == "01"


def test_a_template_that_does_not_compile_is_the_bundles_error() -> None:
    """It is found when the model is loaded."""
    with pytest.raises(TokenizerError, match="does not compile"):
        ChatTemplate("{% for %}", {})


def test_a_template_file_goes_before_the_one_in_the_settings(tmp_path: Path) -> None:
    """chat_template.jinja is the newer way to ship one."""
    (tmp_path / "chat_template.jinja").write_text("file", "utf-8")
    template = ChatTemplate.load(tmp_path, {"chat_template": "settings"})
    assert template is not None
    assert template.render(HELLO) == "file"


def test_the_default_of_several_templates_is_taken(tmp_path: Path) -> None:
    """A list of named templates is legal; one without a default is as if there were none."""
    named = [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]
    template = ChatTemplate.load(tmp_path, {"chat_template": named})
    assert template is not None
    assert template.render(HELLO) == "d"
    assert ChatTemplate.load(tmp_path, {"chat_template": named[:1]}) is None
    assert ChatTemplate.load(tmp_path, {}) is None


def test_the_models_tokens_are_texts_or_tables(tmp_path: Path) -> None:
    """tokenizer_config.json writes a token either way; a missing one is empty."""
    settings = {
        "chat_template": "{{ bos_token }}{{ eos_token }}{{ pad_token }}",
        "bos_token": {"content": "<s>"},
        "eos_token": "</s>",
    }
    template = ChatTemplate.load(tmp_path, settings)
    assert template is not None
    assert template.render(HELLO) == "<s></s>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'x' * 10**10 }}",
        "{{ 10**10 * 'x' }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% for i in range(99999) %}{{ 'x' * 999 }}{% endfor %}",
    ],
)
def test_a_template_cannot_fill_the_memory(source: str) -> None:
    """A text that no prompt has is refused before it is made."""
    with pytest.raises(InvalidArgumentError, match=r"may not make|no use for|too big"):
        ChatTemplate(source, {}).render(HELLO)


def test_small_products_are_fine() -> None:
    """The bound is for the absurd."""
    assert ChatTemplate("{{ '-' * 3 }}{{ 3 * 4 }}", {}).render(HELLO) == "---12"
