# SPDX-License-Identifier: MIT
"""What the checkers share: which files there are, and a C lexer that is just good enough."""
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The alternatives are tried in this order at each place, so a quote in a comment is a comment.
TOKEN = re.compile(
    r'/\*.*?\*/|//(?:\\\n|[^\n])*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(*suffixes, under=(), root=ROOT):
    """Sorted paths, relative to `root`, of the files that git has or would take."""
    try:
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"],
            check=True, capture_output=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        # A source archive: everything but what a build left.
        listed = [str(path.relative_to(root)) for path in root.rglob("*")
                  if path.is_file() and path.relative_to(root).parts[0] not in ("build", ".git")]
    chosen = set()
    for name in listed:
        in_folder = not under or any(name.startswith(folder + "/") for folder in under)
        if name and name.endswith(suffixes) and in_folder and (root / name).is_file():
            chosen.add(name)
    return sorted(chosen)


def read(name, root=ROOT):
    return (root / name).read_text(encoding="utf-8")


def blank(text, keep_strings=False):
    """The text with comments and the insides of literals replaced by spaces, line by line."""
    def spaces(match):
        token = match.group()
        if token[0] in "\"'":
            if keep_strings:
                return token
            return token[0] + re.sub(r"[^\n]", " ", token[1:-1]) + token[0]
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(spaces, text)


def blank_directives(text):
    """Expects blanked text; replaces preprocessor lines, with their continuations, by spaces."""
    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m.group()), text,
                  flags=re.MULTILINE)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Comment:
    """One comment, or a run of // lines; `words` is its text without the stars."""

    def __init__(self, first, last, words, is_line=False):
        self.first, self.last, self.words = first, last, words
        self.is_line = is_line


def comments(text):
    found = []
    for match in TOKEN.finditer(text):
        token = match.group()
        if token[0] in "\"'":
            continue
        first, last = line_of(text, match.start()), line_of(text, match.end() - 1)
        body = token[2:] if token.startswith("//") else token[2:-2]
        words = "\n".join(re.sub(r"^\s*\*(?!/) ?", "", line) if i else line
                          for i, line in enumerate(body.split("\n")))
        is_line = token.startswith("//")
        if is_line and found and found[-1].is_line and found[-1].last == first - 1:
            words = found[-1].words + "\n" + words
            first = found.pop().first
        found.append(Comment(first, last, words, is_line))
    return found


class Function:
    """A function's name, and the lines from its signature to its closing brace."""

    def __init__(self, name, first, last):
        self.name, self.first, self.last = name, first, last


def functions(text):
    code = blank_directives(blank(text))
    # A linkage block is not a level of nesting.
    code = re.sub(r'extern\s+" *"\s*\{', lambda m: re.sub(r"[^\n]", " ", m.group()), code)
    found = []
    depth, start, body = 0, 0, None
    for match in re.finditer(r"[{};]", code):
        here = match.start()
        if match.group() == "{":
            head = code[start:here]
            if depth == 0 and head.rstrip().endswith(")") and "=" not in head:
                body = start + len(head) - len(head.lstrip())
            depth += 1
        elif match.group() == "}":
            depth = max(depth - 1, 0)
            if depth == 0:
                if body is not None:
                    name = re.search(r"(\w+)\s*\(", code[body:here])
                    # A lambda or an operator has no word before its parentheses.
                    found.append(Function(name.group(1) if name else "(unnamed)",
                                          line_of(code, body), line_of(code, here)))
                body, start = None, here + 1
        elif depth == 0:
            start = here + 1
    return found


def function_at(found, line):
    for function in found:
        if function.first <= line <= function.last:
            return function.name
    return None


def finish(problems):
    """Prints the problems; what a checker's main() returns."""
    for problem in problems:
        print(problem)
    return 1 if problems else 0
