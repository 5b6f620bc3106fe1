"""Sizes and command lines as the table of scenarios writes them."""
import re
import shlex

LEAST_SIZE, LEAST_SECONDS = 16 << 20, 0.3
UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size(text):
    """'64KiB' -> 65536; a plain number is bytes."""
    match = re.fullmatch(r"(\d+)(B|KiB|MiB|GiB)?", str(text))
    if not match:
        raise ValueError(f"not a size: {text!r}")
    return int(match[1]) * UNITS[match[2] or ""]


def plain(value):
    """A value for a program that knows only numbers: sizes become bytes, all else stays."""
    return str(size(value)) if re.fullmatch(r"\d+(KiB|MiB|GiB)", value) else value


class Line:
    """A command line: PROGRAM [KIND...] --option [value]...; options keep their order and may be overridden."""

    def __init__(self, text=""):
        self.words, self.options = [], {}
        words = shlex.split(text)
        at = 0
        while at < len(words):
            word = words[at]
            at += 1
            if not word.startswith("--"):
                self.words.append(word)
                continue
            has_value = at < len(words) and not words[at].startswith("--")
            if word == "--set":  # the one that may come several times
                self.options.setdefault(word, []).append(words[at])
            else:
                self.options[word] = words[at] if has_value else None
            at += has_value

    def merged(self, other):
        """This line with the options of another one over its own; words of the other, if any, replace the words."""
        line = Line()
        line.words = other.words or self.words
        line.options = {**self.options, **other.options}
        return line

    def with_options(self, **options):
        """A copy with options set (True: without a value) or left out (None)."""
        line = self.merged(Line())
        for name, value in options.items():
            name = "--" + name.replace("_", "-")
            line.options.pop(name, None)
            if value is not None:
                line.options[name] = None if value is True else str(value)
        return line

    def scaled(self, scale, counts=False):
        """A copy for a run that only shows that it works: sizes and times, with counts also these, times scale."""
        line = self.merged(Line())
        if scale == 1:
            return line
        for name in ("total-size",):
            if line.has(name):
                line.options["--" + name] = str(min(line.number(name), max(LEAST_SIZE, int(line.number(name) * scale))))
        for name in ("seconds", "warmup"):
            if line.has(name):
                line.options["--" + name] = f"{max(LEAST_SECONDS, float(line.get(name)) * scale):g}"
        for name in ("partitions", "connections") if counts else ():
            if line.number(name) >= 1000:
                line.options["--" + name] = str(int(line.number(name) * scale))
        return line

    def get(self, name, default=None):
        return self.options.get("--" + name, default)

    def has(self, name):
        return "--" + name in self.options

    def number(self, name, default=0):
        return size(self.get(name, default) or 0)

    def arguments(self):
        """As a list for exec, without the first word (the program)."""
        out = self.words[1:]
        for name, value in self.options.items():
            for one in value if isinstance(value, list) else [value]:
                out += [name] if one is None else [name, plain(one)]
        return out

    def __str__(self):
        out = list(self.words)
        for name, value in self.options.items():
            for one in value if isinstance(value, list) else [value]:
                out += [name] if one is None else [name, one]
        return " ".join(out)


def filled(text, line):
    """Replaces {name} by the option's value in a line: how a raw limit follows the load beside it."""
    def value(match):
        found = line.get(match[1])
        if found is None:
            raise ValueError(f"{{{match[1]}}}: the load has no such option")
        return found
    return re.sub(r"\{([a-z-]+)\}", value, text)
