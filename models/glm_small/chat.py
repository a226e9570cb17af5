"""GLM's chat format as token ids: [gMASK]<sop>, then role, newline and text for each turn."""

from typing import Protocol

from models.glm_small.corpus import Conversation

END_OF_TEXT, GMASK, START = "<|endoftext|>", "[gMASK]", "<sop>"
SYSTEM, USER, ASSISTANT, OBSERVATION = "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"
SPECIAL_TOKENS = (END_OF_TEXT, GMASK, START, SYSTEM, USER, ASSISTANT, OBSERVATION)
STOP_TOKENS = (END_OF_TEXT, USER, OBSERVATION)
IGNORED_LABEL = -100

CHAT_TEMPLATE = (
    "[gMASK]<sop>"
    "{%- for message in messages -%}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}"
)


class Encoder(Protocol):
    """Turns text with special tokens into ids."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""
        ...


def prompt(history: Conversation, text: str) -> str:
    """The text that the model continues, after earlier turns."""
    turns = "".join(f"{USER}\n{turn.text}{ASSISTANT}\n{turn.answer}" for turn in history)
    return f"{GMASK}{START}{turns}{USER}\n{text}{ASSISTANT}\n"


def labelled(encoder: Encoder, conversation: Conversation, system: str = "") -> tuple[list[int], list[int]]:
    """Token ids and labels: only answers, and the <|user|> that ends each, are learned.

    An answer ends with <|user|>, as GLM-4's do: the next turn begins there, so what was generated
    is the exact beginning of the next prompt.
    """
    head = f"{GMASK}{START}" + (f"{SYSTEM}\n{system}" if system else "")
    ids = encoder.encode(head + USER)
    labels = [IGNORED_LABEL] * len(ids)
    for turn in conversation:
        asked = encoder.encode(f"\n{turn.text}{ASSISTANT}\n")
        answered = encoder.encode(turn.answer + USER)
        ids += asked + answered
        labels += [IGNORED_LABEL] * len(asked) + answered
    return ids, labels
