"""What tells results that may stand beside each other from others: binaries, machine, what is run, how long."""
import hashlib
import json
import os

import keeper
import servers

USUAL_MINUTES = 5
MANNER = 1  # of measuring; one more whenever a run of the same scenario becomes another one by a change of this folder


def digest(*parts):
    """Of texts, and of files as what they hold."""
    out = hashlib.sha256()
    for part in parts:
        if os.path.isfile(part):
            with open(part, "rb") as file:
                part = hashlib.file_digest(file, "sha256").hexdigest()
        out.update(part.encode() + b"\0")
    return out.hexdigest()[:12]


def sources(folder):
    return [os.path.join(path, name) for path, _, names in sorted(os.walk(folder)) for name in sorted(names)
            if name.endswith((".c", ".h"))]


class Marker:
    """Makes the marks of a scenario that keeper.py compares. options: minutes, pin, scale."""

    def __init__(self, tools, options, versions, facts, commit, rounds_of):
        self.options, self.versions, self.facts, self.commit, self.rounds_of = options, versions, facts, commit, rounds_of
        # Their sources: the programs hold parts of the broker, too, and those change without being another load.
        self.generators = digest(*sources(os.path.join(tools.root, "tests/bench/load")))
        self.runnel = digest(tools.runnel)
        settings = digest(servers.KAFKA_HEAP, servers.KAFKA_JVM, *servers.KAFKA_DEFAULTS, servers.FORGET)
        self.kafka = f"{versions['Apache Kafka']}, Java {versions['Java']}, settings {settings}"

    def of(self, scenario, kept):
        """(marks, minutes). An hour that is kept of this build is not done again in five minutes."""
        if scenario.long and kept and not self.options.minutes:
            marks = self._marks(scenario, kept.get("minutes", 0))
            if kept.get("setup") == marks["setup"] and all(turn["build"] == marks["builds"][kind]
                                                           for kind, turns in kept["turns"].items() for turn in turns):
                return marks, kept["minutes"]
        minutes = self.options.minutes or USUAL_MINUTES
        return self._marks(scenario, minutes), minutes

    def _marks(self, scenario, minutes):
        minutes = minutes if scenario.long else 0
        options = self.options
        about = {"machine": self.facts, "versions": self.versions, "rounds_wanted": self.rounds_of(scenario), "minutes": minutes,
                 "pinned": options.pin, "scale": options.scale, "load": str(scenario.load), "raw": scenario.raw,
                 "once": scenario.once()}
        return {"setup": digest(scenario.what_is_run(), json.dumps(self.facts), self.generators,
                                f"{MANNER} {minutes:g} {options.pin} {options.scale:g}"),
                "builds": {"durable": self.runnel, "page": self.runnel, "kafka": self.kafka, "sink": self.generators,
                           "files": self.generators, "echo": self.generators, keeper.RAW: self.generators},
                "commit": self.commit, "about": about}
