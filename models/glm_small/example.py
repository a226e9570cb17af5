"""What the corpus is made of: one turn, and the keys under which it may be held out."""

from dataclasses import dataclass

from models.glm_small.command import Command, render
from models.glm_small.grammar_file import Language, devices
from models.glm_small.split import Fate, Split, Stage, fate, wants_held_out_combination, wants_held_out_pattern


@dataclass(frozen=True)
class Utterance:
    """A sentence without politeness, the commands that it means and the keys of what it was made from."""

    text: str
    commands: tuple[Command, ...]
    patterns: tuple[str, ...]

    @property
    def combinations(self) -> tuple[str, ...]:
        """The combination key of each command that combines parts which other commands have, too."""
        return tuple(command.combination for command in self.commands if _combines(command))


def _combines(command: Command) -> bool:
    """Whether its parts can be known without it.

    A scene has none. A device without rooms says a word (an action, a mode, what is asked) in one combination
    only: held out, that word would be one that training never saw, such as the spin cycle of the washing machine.
    """
    if command.scene:
        return False
    number = command.value if command.value is not None else command.amount
    return devices()[command.device].has_rooms or isinstance(number, int)


@dataclass(frozen=True)
class Example:
    """One turn: what is said, what is answered, and where it belongs."""

    text: str
    answer: str
    category: str
    language: Language
    patterns: tuple[str, ...]
    combinations: tuple[str, ...]


def from_utterance(utterance: Utterance, text: str, category: str, language: Language) -> Example:
    """The turn whose answer is the JSON of the utterance's commands."""
    answer = render(utterance.commands)
    return Example(text, answer, category, language, utterance.patterns, utterance.combinations)


def belongs(patterns: tuple[str, ...], combinations: tuple[str, ...], split: Split, stage: Stage) -> bool:
    """Whether something made from these patterns and combinations may stand in this split.

    Training takes it only if none is held out; evaluation only if each is held out for this stage that the split
    promises, and none that it does not promise. What combines nothing has no place in a split of new combinations.
    """
    pattern_fate: Fate = stage if wants_held_out_pattern(split) else "train"
    combination_fate: Fate = stage if wants_held_out_combination(split) else "train"
    if combination_fate != "train" and not combinations:
        return False
    return all(fate(key) == pattern_fate for key in patterns) and all(
        fate(key) == combination_fate for key in combinations
    )


def pattern_key(language: Language, pattern: str) -> str:
    """The key under which a sentence pattern may be held out."""
    return f"pattern|{language}|{pattern}"


def topic_key(language: Language, topic: str, subject: str) -> str:
    """The key under which what a question is about may be held out."""
    return f"topic|{language}|{topic}|{subject}"


def preferred(options: tuple[str, ...], language: Language, wanted: Stage | None) -> tuple[str, ...]:
    """All patterns, or those held out for one stage if only those are wanted and there are any."""
    kept = tuple(pattern for pattern in options if fate(pattern_key(language, pattern)) == wanted)
    return kept if wanted and kept else options
