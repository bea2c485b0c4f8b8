"""Reading the shell lines of a page: code blocks, continuations, comments, variables, pipes and placeholders."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

FENCE = re.compile(r'^```(\S*)[^\n`]*\n(.*?)^```$', re.DOTALL | re.MULTILINE)
SPAN = re.compile(r'(?<!`)`([^`\n]+)`(?!`)')
PROGRAMS = ('python ', 'bash ', 'make ', 'mim ', 'mmdecouple ')
_ASSIGNMENT = re.compile(r'[A-Za-z_]\w*=')
# What is quoted, or a comment.
_COMMENT = re.compile(r"""('[^']*'|"[^"]*")|(?<!\S)#.*$""")
# A name in capitals stands for what a reader puts in its place: RUN, CONFIG.py, OUT.npz, RUN/final.pth.
_PLACEHOLDER = re.compile(r'(?:^|[/=:])[A-Z][A-Z_]+(?=$|[/.=:])')


class Command(NamedTuple):
    """One command of a page.

    Attributes:
        line: Its line in the page.
        words: What the shell would hand to the program, the name of the program first.
        inline: Whether it stands in a sentence, where it may be named without its arguments.
    """

    line: int
    words: list[str]
    inline: bool = False


def blocks(text: str, *languages: str) -> Iterator[tuple[int, str]]:
    """First line and content of the fenced blocks of some languages, in order."""
    for found in FENCE.finditer(text):
        if found[1] in languages:
            yield text.count('\n', 0, found.start(2)) + 1, found[2]


def spans(text: str) -> Iterator[tuple[int, str]]:
    """Line and content of the inline code of a page, outside of fenced blocks."""
    text = FENCE.sub(lambda found: '\n' * found[0].count('\n'), text)
    for found in SPAN.finditer(text):
        yield text.count('\n', 0, found.start()) + 1, found[1]


def commands(text: str) -> Iterator[Command]:
    """The commands of all `bash` blocks of a page, and of its inline code that starts with a program."""
    for line, block in blocks(text, 'bash', 'sh', 'shell'):
        # A whole script, with its own logic: the test of the page submits it.
        if not block.startswith('#!'):
            yield from _of_block(line, block)
    for line, span in spans(text):
        if span.startswith(PROGRAMS):
            yield from (command._replace(inline=True) for command in _of_block(line, span))


def _of_block(first: int, block: str) -> Iterator[Command]:
    variables, begun, start = {}, '', first
    for number, line in enumerate(block.splitlines(), first):
        start = start if begun else number
        line = begun + _COMMENT.sub(lambda found: found[1] or '', line).rstrip()
        begun = f'{line[:-1]} ' if line.endswith('\\') else ''
        if begun or not line:
            continue
        for words in _split(line):
            words = [re.sub(r'\$\{?(\w+)\}?', lambda found: variables.get(found[1], found[0]), word) for word in words]
            assigned = dict(word.split('=', 1) for word in takewhile(_ASSIGNMENT.match, words))
            if words[len(assigned) :]:
                yield Command(start, words[len(assigned) :])
            else:
                variables |= assigned


def _split(line: str) -> Iterator[list[str]]:
    """The words of each command of a line; the file after `>` is no argument of it."""
    reader = shlex.shlex(line, posix=True, punctuation_chars='|&;<>')
    reader.whitespace_split, reader.commenters = True, ''
    words: list[str] = []
    tokens = iter(reader)
    for token in tokens:
        if set(token) <= set('<>&') and set(token) & set('<>'):
            next(tokens, None)
        elif set(token) <= set('|&;'):
            yield words
            words = []
        else:
            words.append(token)
    yield words


def is_placeholder(word: str) -> bool:
    """Whether a word has a part in capitals in the place of a real name."""
    return bool(_PLACEHOLDER.search(word))
