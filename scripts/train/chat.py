# SPDX-License-Identifier: MIT
"""The chat form: ChatML with two control tokens, and requests made from what a story holds.

The tokens of a conversation are those of its rendered text with the control tokens read as such: a vocabulary without
dummy prefix and with line breaks as bytes (vocabulary.py) makes the parts' tokens those of the whole.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ASK = (
    "Tell me a story about {}.",
    "Tell me a story about {}.",
    "Tell me a story about {}.",
    "Tell me a short story about {}.",
    "Tell a story about {}.",
    "Write a story about {}.",
    "Write me a story about {}.",
    "Can you tell me a story about {}?",
    "Please tell me a story about {}.",
    "I want a story about {}.",
    "I would like a story about {}, please.",
    "A story about {}, please.",
    "tell me a story about {}",
    "a story about {}",
    "Story about {}",
)
ASK_AGAIN = (
    "Tell me another story about {}.",
    "Another story, about {}.",
    "Now tell me a story about {}.",
    "And one about {}?",
    "Thank you! Now a story about {}, please.",
    *ASK[:3],
)
ASK_ANYTHING = (
    "Tell me a story.", "Tell me a story, please.", "Can you tell me a story?", "Write a story.", "A story, please.",
    "Tell me another one.", "I want to hear a story.", "tell me a story",
)  # fmt: skip
CONTINUE = ("Continue this story: {}", "Go on with this story: {}", "How does this story go on? {}", "{}", "{}")
SYSTEM = ("You tell short stories for small children.", "You are a helpful assistant.", "You are a story teller.")
# Our own: so that a greeting does not get a random story.
SMALL_TALK = (
    ("Hello!", "Hello! I tell short stories. What should the next one be about?"),
    ("Hello", "Hello! Shall I tell you a story? Name one or two things, and I will try."),
    ("Hi", "Hi! Tell me what a story should be about, and I will tell it."),
    ("Hi there!", "Hi! I like to tell stories. What should I tell you about?"),
    ("Good morning!", "Good morning! It is a fine day for a story. What should it be about?"),
    ("How are you?", "I am fine, thank you. Would you like to hear a story?"),
    ("Who are you?", "I am a very small language model. I know nothing but short stories for children."),
    ("What are you?", "I am a small language model that tells short stories."),
    ("What can you do?", "I can tell short stories. Ask me for one about a dog, a boat, or what you like."),
    ("Help", "Ask me for a story, for example: Tell me a story about a cat and a hat."),
    ("What is your name?", "I have no name. I am a small model that tells stories."),
    ("Thank you!", "You are welcome! Would you like another story?"),
    ("Thanks", "You are welcome! Would you like one more story?"),
    ("Bye", "Good bye! Come back when you want another story."),
    ("Good night!", "Good night! Sleep well, and dream of a good story."),
)  # fmt: skip


@dataclass(frozen=True)
class Turn:
    """One message of a conversation."""

    role: str
    content: str


def render(turns: Sequence[Turn], generate: bool = False) -> str:
    """What TEMPLATE makes of the turns."""
    text = "".join(f"{IM_START}{turn.role}\n{turn.content}{IM_END}\n" for turn in turns)
    return text + f"{IM_START}assistant\n" if generate else text


def listed(things: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(([", ".join(things[:-1])] if len(things) > 1 else []) + [things[-1]])


def pick_nouns(nouns: Sequence[tuple[str, float]], count: int, rng: random.Random) -> list[str]:
    """Up to `count` different nouns, heavier ones more often, in any order."""
    left = list(nouns)
    picked: list[str] = []
    while left and len(picked) < count:
        (item,) = rng.choices(left, [weight for _, weight in left])
        left.remove(item)
        picked.append(item[0])
    return picked


def vary_article(noun: str, rng: random.Random) -> str:
    """Mostly as it is; people write "a sun" and "dog" as well."""
    article, _, word = noun.rpartition(" ")
    kind = rng.random()
    if kind < 0.08:
        return word
    if kind < 0.14:
        return f"the {word}"
    if kind < 0.18 and article == "the":
        return f"a {word}"
    return noun


def choose_nouns(nouns: Sequence[tuple[str, float]], rng: random.Random) -> list[str]:
    """The nouns to ask for: one to three of them, two most often, seldom none."""
    usable = [item for item in nouns if item[1] > 1]
    if not usable or rng.random() < 0.05:
        return []
    (count,) = rng.choices((1, 2, 3), (3, 6, 1))
    return pick_nouns(usable, count, rng)


def request(nouns: Sequence[str], rng: random.Random, again: bool = False) -> str:
    """A request for a story with these nouns, or for any."""
    if not nouns:
        return rng.choice(ASK_ANYTHING)
    things = [vary_article(noun, rng) for noun in nouns]
    return rng.choice(ASK_AGAIN if again else ASK).format(listed(things))


def bare(noun: str) -> str:
    """Without its article."""
    return noun.rpartition(" ")[2]


def with_article(noun: str) -> str:
    return ("an " if re.match("[aeio]|u(?!n[aio]|s)", noun) else "a ") + noun


def plural(noun: str) -> str:
    if re.search("[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search("(?:s|x|ch|sh)$", noun) else "s")


def replace_noun(story: str, old: str, new: str) -> str:
    """The story with another noun, in the plural and with its article too."""

    def replaced(match: re.Match[str]) -> str:
        article, word, is_plural = match[1] or "", match[2], match[3]
        noun = new.capitalize() if word[0].isupper() else new
        noun = plural(noun) if is_plural else noun
        if article.lower() in ("a ", "an "):
            article = article[0] + with_article(new)[1:].split(" ")[0] + " "
        return article + noun

    return re.sub(rf"\b((?:an?) )?({old})(e?s)?\b", replaced, story, flags=re.IGNORECASE)
