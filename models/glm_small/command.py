"""A device command and the compact JSON that the model answers with."""

import json
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Command:
    """One call. Empty fields are left out of the JSON; its key order is the order of the fields."""

    device: str = ""
    room: str = ""
    action: str = ""
    attribute: str = ""
    value: int | str | None = None
    amount: int | None = None
    delay_minutes: int | None = None
    scene: str = ""

    @property
    def combination(self) -> str:
        """What is held out together: device, room, action, attribute and value, without the delay."""
        number = self.value if self.value is not None else self.amount
        return "|".join(("command", self.device, self.room, self.action, self.attribute, str(number)))

    def moved_to(self, room: str) -> "Command":
        """The same command for another room."""
        return replace(self, room=room)

    def as_call(self) -> dict[str, int | str]:
        """The JSON object of this command."""
        if self.scene:
            return {"scene": self.scene, "action": "on"}
        call: dict[str, int | str] = {"device": self.device}
        if self.room:
            call["room"] = self.room
        call["action"] = self.action
        if self.value is not None:
            call[self.attribute] = self.value
        elif self.attribute:
            call["attribute"] = self.attribute
        if self.amount is not None:
            call["by"] = self.amount
        if self.delay_minutes is not None:
            call["delay_minutes"] = self.delay_minutes
        return call


def render(commands: tuple[Command, ...]) -> str:
    """Compact JSON: one object, or an array when there are several commands."""
    calls = [command.as_call() for command in commands]
    return json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False, separators=(",", ":"))
