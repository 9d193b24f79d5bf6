"""{{name}}: tools for aos-host."""

from dataclasses import dataclass

from aos import InvalidArguments, tool


@dataclass
class Counts:
    words: int
    distinct: int


@tool(read_only=True, idempotent=True)
def count_words(text: str, letters_max: int | None = None) -> Counts:
    """Counts the words of a text.

    text: the text to count
    letters_max: count words that are no longer than this only
    """
    if letters_max is not None and letters_max < 1:
        raise InvalidArguments("$.letters_max: expected at least 1")
    words = [word for word in text.split() if letters_max is None or len(word) <= letters_max]
    return Counts(words=len(words), distinct=len(set(words)))
