"""What the corpus is made of: one turn, and the keys under which it may be held out."""

from dataclasses import dataclass

from models.glm_small.command import Command, render
from models.glm_small.grammar_file import Language
from models.glm_small.split import Split, held_out, wants_held_out_combination, wants_held_out_pattern


@dataclass(frozen=True)
class Utterance:
    """A sentence without politeness, the commands that it means and the keys of what it was made from."""

    text: str
    commands: tuple[Command, ...]
    patterns: tuple[str, ...]

    @property
    def combinations(self) -> tuple[str, ...]:
        """The combination key of each command; a scene combines nothing."""
        return tuple(command.combination for command in self.commands if not command.scene)


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


def belongs(patterns: tuple[str, ...], combinations: tuple[str, ...], split: Split) -> bool:
    """Whether something made from these patterns and combinations may stand in this split.

    Training takes it only if none is held out; evaluation only if each is held out that the split promises,
    and none that it does not promise. What combines nothing has no place in a split of new combinations.
    """
    pattern_wanted, combination_wanted = wants_held_out_pattern(split), wants_held_out_combination(split)
    if combination_wanted and not combinations:
        return False
    return all(held_out(key) == pattern_wanted for key in patterns) and all(
        held_out(key) == combination_wanted for key in combinations
    )


def pattern_key(language: Language, pattern: str) -> str:
    """The key under which a sentence pattern may be held out."""
    return f"pattern|{language}|{pattern}"


def preferred(options: tuple[str, ...], language: Language, only_held_out: bool) -> tuple[str, ...]:
    """All patterns, or the held-out ones if only those are wanted and there are any."""
    kept = tuple(pattern for pattern in options if held_out(pattern_key(language, pattern)))
    return kept if only_held_out and kept else options
