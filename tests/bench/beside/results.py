"""The results that are kept: one JSON file a scenario; questions to them."""
import json
import os
import statistics


def path_of(folder, name):
    return os.path.join(folder, name + ".json")


def write(folder, result):
    os.makedirs(folder, exist_ok=True)
    path = path_of(folder, result["name"])
    with open(path + ".new", "w") as file:
        file.write(_text(result) + "\n")
    os.replace(path + ".new", path)


def _text(value, indent=0):
    """JSON with a line for each leaf that a human compares: lists stay on one line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, separators=(",", ":"))
    inner = " " * (indent + 1)
    rows = [f"{inner}{json.dumps(str(name))}: {_text(one, indent + 1)}" for name, one in value.items()]
    return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"


def read_one(folder, name):
    """A kept result, or None."""
    try:
        with open(path_of(folder, name)) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def read(folder):
    """All kept results by name."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return {name.removesuffix(".json"): read_one(folder, name.removesuffix(".json")) for name in names if name.endswith(".json")}


class Spread:
    """Median, least and most of what the rounds gave."""

    def __init__(self, values):
        self.values = [value for value in values if value is not None]
        if self.values:
            self.median, self.least, self.most = statistics.median(self.values), min(self.values), max(self.values)

    def __bool__(self):
        return bool(self.values)


class Result:
    """One scenario's result with its questions answered."""

    def __init__(self, data):
        self.data = data

    def cell(self, case, subject):
        """What a subject gave in a case; a raw limit that follows no option stands with the first case only."""
        cases = self.data["cases"]
        found = cases.get(case, {}).get(subject)
        if found is None and subject in self.data.get("raw", {}):
            found = next((subjects[subject] for subjects in cases.values() if subject in subjects), None)
        return found

    def values(self, case, subject, figure):
        cell = self.cell(case, subject)
        return cell["values"].get(figure, []) if cell else []

    def spread(self, case, subject, figure):
        return Spread(self.values(case, subject, figure))

    def paired(self, case, subject, against, figure, combine):
        """Round by round, so that what the machine did in a round meets itself."""
        pairs = zip(self.values(case, subject, figure), self.values(case, against, figure))
        return Spread([combine(one, other) for one, other in pairs if one is not None and other is not None])

    def ratio(self, case, subject, against, figure):
        pairs = zip(self.values(case, subject, figure), self.values(case, against, figure))
        return Spread([one / other for one, other in pairs if one is not None and other])

    def failures(self):
        return [(case, subject, cell["failed"]) for case, subjects in self.data["cases"].items()
                for subject, cell in subjects.items() if cell.get("failed")]

    def turns(self):
        return [turn for turns in self.data["turns"].values() for turn in turns]

    def rounds(self, kind):
        return {turn["round"] for turn in self.data["turns"].get(kind, [])}

    def builds(self):
        """[(commit, date of its last turn, kinds, rounds at least, rounds at most)], the latest first."""
        by_commit = {}
        for kind, turns in self.data["turns"].items():
            for turn in turns:
                by_commit.setdefault(turn["commit"], []).append((turn["date"], kind))
        out = []
        for commit, seen in by_commit.items():
            kinds = list(dict.fromkeys(kind for _, kind in seen))
            counts = [sum(other == kind for _, other in seen) for kind in kinds if kind not in self.data.get("once", [])]
            counts = counts or [1]
            out.append((commit, max(date for date, _ in seen), kinds, min(counts), max(counts)))
        return sorted(out, key=lambda row: row[1], reverse=True)

    def date(self):
        return max((turn["date"] for turn in self.turns()), default="")

    def median_of_turns(self, name):
        values = [turn[name] for turn in self.turns() if turn.get(name) is not None]
        return statistics.median(values) if values else None
