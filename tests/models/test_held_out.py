"""Training and evaluation share nothing that is held out."""

import pytest

from models.glm_small.command import Command
from models.glm_small.corpus import Corpus
from models.glm_small.example import Example, Utterance, pattern_key
from models.glm_small.grammar_file import LANGUAGES, Language, patterns, questions
from models.glm_small.held_out import Case, cases
from models.glm_small.manners import mishearings
from models.glm_small.split import Split, Stage, fate

TURNS = 3000


@pytest.fixture(scope="module")
def trained() -> list[Example]:
    """A stretch of the training corpus, with the turns of conversations."""
    corpus = Corpus("a test")
    turns = [corpus.turn() for _ in range(TURNS)]
    return turns + [turn for _ in range(500) for turn in corpus.conversation(3)]


@pytest.fixture(scope="module")
def asked() -> list[Case]:
    """A small evaluation set."""
    return cases(per_group=4)


def test_training_uses_no_held_out_pattern_and_no_held_out_combination(trained: list[Example]) -> None:
    """Whatever the training corpus says, none of its keys is held out."""
    assert not [key for turn in trained for key in (*turn.patterns, *turn.combinations) if fate(key) != "train"]


def test_every_evaluation_case_has_what_its_split_promises(asked: list[Case]) -> None:
    """New phrasings consist of held-out patterns alone, new combinations of held-out combinations alone."""
    for case in asked:
        last = case.conversation[-1]
        new_pattern, new_combination = case.split in ("pattern", "both"), case.split in ("combination", "both")
        assert all(fate(key) == ("test" if new_pattern else "train") for key in last.patterns), case
        assert all(fate(key) == ("test" if new_combination else "train") for key in last.combinations), case
        assert last.combinations or not new_combination, case


def test_what_is_held_out_never_occurs_in_training(trained: list[Example], asked: list[Case]) -> None:
    """The keys that make a case new are disjoint from all keys seen in training."""
    seen = {key for turn in trained for key in (*turn.patterns, *turn.combinations)}
    new = {
        key
        for case in asked
        for key in (*case.conversation[-1].patterns, *case.conversation[-1].combinations)
        if fate(key) == "test"
    }
    assert new
    assert seen.isdisjoint(new)


def test_no_evaluation_sentence_occurs_in_training(trained: list[Example], asked: list[Case]) -> None:
    """Not a single text of the evaluation set was seen, whatever its keys say."""
    assert {case.text for case in asked}.isdisjoint(turn.text for turn in trained)


def test_no_phrasing_is_asked_that_training_says_when_it_drops_a_word() -> None:
    """A trained question that misses a word may read as a held-out one; that one is no new phrasing then."""
    asked = [
        case for case in cases(per_group=60) if case.split != "combination" and case.category in ("about", "decline")
    ]
    for language in LANGUAGES:
        trained = {
            pattern
            for topic in questions(language)
            for pattern in topic.patterns
            if fate(pattern_key(language, pattern)) == "train"
        }
        said = {pattern_key(language, short) for pattern in trained for short in mishearings(language, pattern)}
        held_out = {key for case in asked if case.language == language for key in case.conversation[-1].patterns}
        assert held_out
        assert said.isdisjoint(held_out)


@pytest.mark.parametrize(("language", "pattern", "left"), [("en", "is {d} on", 3), ("zh", "{x}是谁", 3)])
def test_every_mishearing_is_foreseen(language: Language, pattern: str, left: int) -> None:
    """What is left of a pattern with a part missing, slots being parts."""
    assert len(set(mishearings(language, pattern))) == left


@pytest.mark.parametrize("language", LANGUAGES)
def test_about_a_tenth_of_the_patterns_is_held_out(language: str) -> None:
    """The hash takes whole patterns at the intended rate, of commands and of questions."""
    language = "zh" if language == "zh" else "en"
    commands = [pattern for group in patterns(language).values() for pattern in group]
    asked = [pattern for topic in questions(language) for pattern in topic.patterns]
    out = [pattern for pattern in commands + asked if fate(f"pattern|{language}|{pattern}") == "test"]
    assert 0.06 < len(out) / len(commands + asked) < 0.14


@pytest.mark.parametrize(
    ("command", "combines"),
    [
        (Command("washing_machine", "", "set", "mode", "spin"), False),
        (Command("door_lock", "", "query", "battery"), False),
        (Command("kettle", "", "set", "temperature", 61), True),
        (Command("vacuum", "study", "query", "battery"), True),
        (Command("vacuum", "", "query", "battery"), True),
        (Command(scene="sleep"), False),
    ],
)
def test_only_what_combines_known_parts_is_held_out(command: Command, combines: bool) -> None:
    """A word that a device without rooms says in one combination only is trained: nothing else would teach it."""
    assert bool(Utterance("", (command,), ()).combinations) == combines


def test_what_training_is_watched_by_shares_nothing_new_with_the_test(asked: list[Case]) -> None:
    """The development set has held-out keys of its own: watching it tells nothing about the test."""
    watched = cases(per_group=4, stage="development")
    assert watched
    assert _new(watched, "development")
    assert _new(watched, "test") == set() == _new(asked, "development")


def _new(asked: list[Case], stage: Stage) -> set[str]:
    last = [case.conversation[-1] for case in asked]
    return {key for turn in last for key in (*turn.patterns, *turn.combinations) if fate(key) == stage}


def test_the_evaluation_set_is_the_same_every_time() -> None:
    """The same seed gives the same cases."""
    assert cases(per_group=2) == cases(per_group=2)


@pytest.mark.parametrize("split", ["combination", "pattern"])
def test_a_category_that_a_split_cannot_have_is_an_error(split: Split) -> None:
    """Scenes combine nothing; asking for new combinations of them says so instead of searching for ever."""
    corpus = Corpus(1, split)
    if split == "pattern":
        assert corpus.turn("en", "scene").category == "scene"
    else:
        with pytest.raises(LookupError, match="has nothing for split"):
            corpus.turn("en", "scene")


EVERYDAY_PATTERNS = {
    "zh": (
        "把{d}调到{v}",
        "打开{d}",
        "{d}调到{v}",
        "关掉{d}",
        "把{d}打开",
        "把{d}拉上",
        "把{d}关掉",
        "{r}太暗了",
        "把{d}{m}一点",
        "{d}再{m}一点",
        "你好",
        "你是谁",
        "介绍一下你自己",
        "你能做什么",
        "自我介绍",
        "谢谢",
        "{d}开到{v}",
        "把{d}开到{v}",
        "锁上{d}",
        "晚安",
        "把{d}拉开{v}",
        "{d}的{a}是多少",
        "把{d}的{a}调到{v}",
    ),
    "en": (
        "turn on {d}",
        "turn off {d}",
        "turn {d} off",
        "turn {d} on",
        "set {d} to {v}",
        "switch off {d}",
        "open {d}",
        "close {d}",
        "who are you",
        "what can you do",
        "hello",
        "thanks",
        "same for the {r}",
        "what is the {a} of {d}",
        "is {d} on",
        "make {d} {m}",
        "introduce yourself",
        "lock {d}",
        "unlock {d}",
        "good night",
        "open {d} {v}",
        "what is the status of {d}",
        "set the {a} of {d} to {v}",
        "the {r} too",
    ),
}
EVERYDAY_COMBINATIONS = (
    "light|living_room|set|brightness|50",
    "air_conditioner|bedroom|set|temperature|26",
    "light|bedroom|set|brightness|30",
    "tv||off||None",
    "air_conditioner||set|temperature|26",
    "curtain||close||None",
    "curtain||open||None",
    "light|living_room|increase|brightness|None",
    "light|kitchen|off||None",
    "light|living_room|on||None",
    "light|bedroom|on||None",
    "light|bedroom|off||None",
    "light||on||None",
    "light||off||None",
    "air_conditioner|bedroom|on||None",
    "air_conditioner|living_room|on||None",
    "light|living_room|off||None",
    "light|living_room|set|brightness|30",
    "fan||on||None",
    "curtain|living_room|close||None",
    "curtain|bedroom|close||None",
    "curtain|living_room|set|position|50",
    "light||increase|brightness|None",
    "air_conditioner||decrease|temperature|None",
)


def test_everyday_sentences_are_trained() -> None:
    """The salt was chosen so: what people say first to the model that ships, the README's sentences among it."""
    keys = [f"pattern|{language}|{pattern}" for language, all_of in EVERYDAY_PATTERNS.items() for pattern in all_of]
    keys += [f"command|{combination}" for combination in EVERYDAY_COMBINATIONS]
    assert [key for key in keys if fate(key) != "train"] == []
