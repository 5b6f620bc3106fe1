"""Reads scenarios.toml and says what is wrong with it."""
import os
import re
import tomllib
from dataclasses import dataclass, field

import estimate
import figures
import lifecycle
import servers
from keeper import RAW
from options import Line, filled, size

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios.toml")
PROGRAMS = ("load", "librdkafka_load", "kafka-perf")
PLOTS = ("latency", "memory", "rate")  # and the name of each figure: bars
RELATIONS = ("at_least", "at_most", "at_most_above")
RATE = re.compile(r"half-of-(durable|page|kafka)")


class Wrong(Exception):
    """The table makes no sense; in words."""


@dataclass
class Case:
    name: str
    line: Line
    servers: list
    fill: Line = None
    overrides: list = field(default_factory=list)


@dataclass
class Aim:
    says: str
    figure: str
    of: str
    relation: str
    wanted: float
    against: str = None
    cases: list = None


@dataclass
class Scenario:
    name: str
    shows: str
    figures: list
    cases: list
    servers: list
    load: Line
    raw: dict = field(default_factory=dict)
    plots: list = field(default_factory=list)
    aims: list = field(default_factory=list)
    memory: str = ""        # warm: the host finds memory before each run; cold: it had time to take it back
    cache: str = "warm"     # cold: what was filled in is read from the disk
    latency_of: str = ""
    bound: str = ""         # a server or raw limit that does only what no broker can leave out; beside missed aims
    topic: list = field(default_factory=list)
    overrides: list = field(default_factory=list)
    rounds: int = 0         # at most so many, whatever is asked for; 0: as many as are asked for
    warm_up: bool = True
    quick: bool = False
    minutes: dict = field(default_factory=dict)  # by server: which share of --minutes its run takes; else --seconds

    @property
    def is_lifecycle(self):
        return self.load.words[0] in lifecycle.MEASURES

    @property
    def long(self):
        return bool(self.minutes)

    def minutes_of(self, kind, minutes):
        return minutes * self.minutes.get(kind, 1)

    def is_judged(self, subject):
        """Is some aim a ratio to this one, or measured by it? What is only for orientation is measured once."""
        return subject == self.bound or any(aim.against == subject for aim in self.aims)

    def once(self):
        """The turns that only the first round has."""
        kinds = [kind for kind in self.servers if kind in servers.LIMIT_SERVERS and not self.is_judged(kind)]
        return kinds + ([RAW] if self.raw and not any(map(self.is_judged, self.raw)) else [])

    def turns(self, rounds):
        """[(round, kind)]: A B C, C B A, ..."""
        kinds = [*self.servers, *([RAW] if self.raw else [])]
        out = []
        for number in range(rounds):
            row = [(number, kind) for kind in kinds if number == 0 or kind not in self.once()]
            out += row if number % 2 == 0 else reversed(row)
        return out

    def raw_for(self, case, number=0):
        """The raw limits of a case; one that follows no option is measured with the first case only, one that no aim
        compares with in the first round only."""
        return {name: text for name, text in self.raw.items()
                if ("{" in text or case is self.cases[0]) and (number == 0 or self.is_judged(name))}

    def shared_cases(self, kind):
        """Cases of lifecycle.py in groups, each of which has one server."""
        cases = [case for case in self.cases if kind in case.servers]
        return [cases] if self.load.words[0] in lifecycle.SHARES else [[case] for case in cases]

    def what_is_run(self):
        """All of it that has to be the same where results stand beside each other; aims and words may change."""
        cases = [(case.name, str(case.line), str(case.fill), case.overrides) for case in self.cases]
        return repr((cases, self.raw, self.memory, self.cache, self.topic, self.overrides, self.minutes))

    def turn_seconds(self, kind, number, minutes, scale=1.0):
        """About how long a turn takes on a machine of two cores."""
        return estimate.turn_seconds(self, kind, number, minutes, scale)


def _known(what, names, known):
    for name in names:
        if name not in known:
            raise Wrong(f"{what}: no {name!r}; there are {', '.join(known)}")


def _aims(rows, scenario, what):
    out = []
    for row in rows:
        relation = [name for name in RELATIONS if name in row]
        if len(relation) != 1:
            raise Wrong(f"{what}: an aim has one of {', '.join(RELATIONS)}")
        if relation[0] == "at_most_above" and "against" not in row:
            raise Wrong(f"{what}: at_most_above needs against")
        unknown = set(row) - {"says", "figure", "of", "against", "cases", *RELATIONS}
        if unknown:
            raise Wrong(f"{what}: an aim has no {', '.join(unknown)}")
        _known(what, [row["figure"]], figures.ALL)
        for of in row["of"] if isinstance(row["of"], list) else [row["of"]]:
            if scenario:
                subjects = [*scenario.servers, *scenario.raw]
                _known(what, [of, *([row["against"]] if "against" in row else [])], subjects)
                _known(what, row.get("cases", []), [case.name for case in scenario.cases])
            out.append(Aim(row["says"], row["figure"], of, relation[0], float(row[relation[0]]), row.get("against"),
                           row.get("cases")))
    return out


def _scenario(row, everywhere):
    row = dict(row)
    name = row.get("name", "?")
    what = f"scenario {name}"
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise Wrong(f"{what}: a name is lower case letters, digits and dashes")
    for wanted in ("shows", "load", "servers", "figures", "cases"):
        if not row.get(wanted):
            raise Wrong(f"{what}: {wanted} is missing")
    load, fill, aims = Line(row.pop("load")), row.pop("fill", None), row.pop("aims", [])
    takes_part = row.pop("everywhere", True)
    _known(what, load.words[:1], [*PROGRAMS, *lifecycle.MEASURES])
    _known(what, row["servers"], servers.LABELS)
    _known(what, row["figures"], figures.ALL)
    _known(what, row.get("plots", []), [*PLOTS, *figures.ALL])
    cases = []
    for case in row.pop("cases"):
        unknown = set(case) - {"name", "options", "servers", "fill", "overrides"}
        if unknown or "name" not in case:
            raise Wrong(f"{what}: a case has name, options, servers, fill, overrides; not {', '.join(unknown)}")
        _known(what, case.get("servers", []), row["servers"])
        case_fill = case.get("fill", fill)
        cases.append(Case(case["name"], load.merged(Line(case.get("options", ""))), case.get("servers", row["servers"]),
                          Line(case_fill) if case_fill else None, case.get("overrides", [])))
    if len({case.name for case in cases}) != len(cases):
        raise Wrong(f"{what}: two cases have the same name")
    try:
        scenario = Scenario(load=load, cases=cases, **row)
    except TypeError as error:
        raise Wrong(f"{what}: {error}") from None
    if scenario.memory not in ("", "warm", "cold") or scenario.cache not in ("warm", "cold"):
        raise Wrong(f"{what}: memory and cache are warm or cold")
    _known(what, scenario.minutes, servers.LABELS)
    _known(what, [scenario.bound] if scenario.bound else [], [*scenario.servers, *scenario.raw])
    for case in cases:
        _check_case(scenario, case, what)
    scenario.aims = _aims(aims, scenario, what)
    if takes_part:
        own = {(aim.says, aim.figure, aim.of, aim.against) for aim in scenario.aims}
        for aim in everywhere:
            if (aim.says, aim.figure, aim.of, aim.against) in own:
                continue
            if aim.figure in scenario.figures and {aim.of, aim.against} <= set(scenario.servers):
                scenario.aims.append(aim)
    return scenario


def _check_case(scenario, case, what):
    try:
        case.line.arguments()
        for text in scenario.raw.values():
            filled(text, case.line)
        for option in ("record-size", "batch-size", "fetch-size", "total-size"):
            size(case.line.get(option, 0))
    except ValueError as error:
        raise Wrong(f"{what}, case {case.name}: {error}") from None
    rate = case.line.get("rate", "0")
    if not RATE.fullmatch(rate) and not re.fullmatch(r"[\d.]+", rate):
        raise Wrong(f"{what}, case {case.name}: --rate is MiB/s or half-of-SERVER")


def read(path=PATH):
    """All scenarios in the order of the table."""
    with open(path, "rb") as file:
        try:
            data = tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise Wrong(f"{os.path.basename(path)}: {error}") from None
    everywhere = _aims(data.get("everywhere", []), None, "everywhere")
    scenarios = [_scenario(row, everywhere) for row in data.get("scenario", [])]
    names = [scenario.name for scenario in scenarios]
    for name in names:
        if names.count(name) > 1:
            raise Wrong(f"two scenarios have the name {name}")
    return scenarios
