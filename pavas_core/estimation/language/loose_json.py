"""JSON as language models write it: in prose and fences, with trailing commas, bare words, comments, or cut off."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 32
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?(?:\*/|\Z))+", re.DOTALL)
_PLAIN_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")
_CLOSING = {"“": "”", "‘": "’", "«": "»"}
_WORDS = {"true": True, "false": False, "null": None, "none": None, "nan": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Value:
    """One array or object found in a text; ``cut`` where the text ended inside it."""

    value: Any
    cut: bool


def without_thoughts(text: str) -> str:
    """``text`` without the thinking that some models show before their answer."""
    return _THOUGHT.sub(" ", text)


def find_values(text: str) -> list[Value]:
    """Every outermost array or object of ``text``, in order; what cannot be read as either is skipped.

    Of one that the text ends in, the complete members are kept.
    """
    text = without_thoughts(text)
    found: list[Value] = []
    place = 0
    while True:
        starts = [at for at in (text.find("[", place), text.find("{", place)) if at >= 0]
        if not starts:
            return found
        reader = _Reader(text, min(starts))
        try:
            value = reader.value(0)
        except _Unreadable:
            place = min(starts) + 1
            continue
        found.append(Value(value, reader.cut))
        place = reader.at


class _Unreadable(Exception):
    """This is no JSON, however loosely read."""


class _Cut(Exception):
    """The text ended here."""


class _Reader:
    def __init__(self, text: str, at: int):
        self.text, self.at, self.cut = text, at, False

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise _Unreadable
        here = self._peek()
        if here == "[":
            return self._array(depth)
        if here == "{":
            return self._object(depth)
        if here in "\"'" or here in _CLOSING:
            return self._string()
        return self._bare()

    def _peek(self) -> str:
        space = _SPACE.match(self.text, self.at)
        if space:
            self.at = space.end()
        if self.at >= len(self.text):
            raise _Cut
        return self.text[self.at]

    def _array(self, depth: int) -> list[Any]:
        self.at += 1
        items: list[Any] = []
        try:
            while (here := self._peek()) != "]":
                if here == ",":
                    self.at += 1
                    continue
                if here in "}:":
                    raise _Unreadable
                item = self.value(depth + 1)
                if self.cut and not isinstance(item, (list, dict)):
                    return items
                items.append(item)
                if self.cut:
                    return items
        except _Cut:
            self.cut = True
            return items
        self.at += 1
        return items

    def _object(self, depth: int) -> dict[str, Any]:
        self.at += 1
        members: dict[str, Any] = {}
        try:
            while (here := self._peek()) != "}":
                if here in ",;":
                    self.at += 1
                    continue
                if here in "[]{":
                    raise _Unreadable
                key = self._string() if here in "\"'" or here in _CLOSING else self._key()
                if self._peek() not in ":=":
                    raise _Unreadable
                self.at += 1
                value = self.value(depth + 1)
                if self.cut and not isinstance(value, (list, dict)):
                    return members
                members[str(key)] = value
                if self.cut:
                    return members
        except _Cut:
            self.cut = True
            return members
        self.at += 1
        return members

    def _key(self) -> str:
        word = re.compile(r"[\w][\w .-]*").match(self.text, self.at)
        if word is None:
            raise _Unreadable
        self.at = word.end()
        return word.group().strip()

    def _string(self) -> str:
        opened = self.text[self.at]
        closing = _CLOSING.get(opened, opened)
        parts: list[str] = []
        at = self.at + 1
        while at < len(self.text):
            here = self.text[at]
            if here == "\\" and at + 1 < len(self.text):
                code = re.compile(r"u([0-9a-fA-F]{4})").match(self.text, at + 1)
                if code:
                    parts.append(chr(int(code[1], 16)))
                    at = code.end()
                else:
                    parts.append(_ESCAPES.get(self.text[at + 1], self.text[at + 1]))
                    at += 2
                continue
            if here == closing:
                # An apostrophe within a word does not end a string.
                within = here == "'" and at + 1 < len(self.text) and self.text[at + 1].isalnum() and parts
                if not within:
                    self.at = at + 1
                    return "".join(parts)
            parts.append(here)
            at += 1
        raise _Cut

    def _bare(self) -> Any:
        """A number, a word or ``0.6 kg``, up to the next comma, bracket or line."""
        found = re.compile(r"(?:[^,\[\]{}\n\"]|,(?=\d))+").match(self.text, self.at)
        if found is None:
            raise _Unreadable
        self.at = found.end()
        if self.at >= len(self.text):
            self.cut = True
        word = found.group().split("//")[0].strip()
        if word.casefold() in _WORDS:
            return _WORDS[word.casefold()]
        if _PLAIN_NUMBER.match(word):
            return float(word)
        if not word:
            raise _Unreadable
        return word
