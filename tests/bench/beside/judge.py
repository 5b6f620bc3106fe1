"""Says of each aim whether it is met."""
from dataclasses import dataclass

import figures
import servers
from results import Result


@dataclass
class Verdict:
    """Of one aim in one case. word: met, missed, or not measured."""
    case: str
    found: str
    word: str


@dataclass
class Judged:
    """One aim of a scenario with its verdicts."""
    scenario: str
    says: str
    wanted: str
    verdicts: list

    def count(self, word):
        return sum(verdict.word == word for verdict in self.verdicts)


def label(subject):
    return servers.LABELS.get(subject, subject)


def judge(scenario, data):
    """Every aim of a scenario in each of its cases; without a result all are not measured."""
    result = Result(data) if data else None
    out = []
    for aim in scenario.aims:
        cases = [case.name for case in scenario.cases if (not aim.cases or case.name in aim.cases) and _takes_part(aim, case)]
        out.append(Judged(scenario.name, f"{label(aim.of)}: {aim.says}", _wanted(aim),
                          [_verdict(result, aim, case) for case in cases]))
    return out


def _takes_part(aim, case):
    return all(subject not in servers.LABELS or subject in case.servers for subject in (aim.of, aim.against))


def _wanted(aim):
    words = ("at least " if aim.relation == "at_least" else "at most ") + figures.show(aim.wanted)
    figure = figures.ALL[aim.figure]
    if aim.relation == "at_most_above":
        return f"{figure.name_and_unit(words)} above {label(aim.against)}"
    return f"{figure.label}: {words}x {label(aim.against)}" if aim.against else figure.name_and_unit(words)


def _verdict(result, aim, case):
    if not result:
        spread = None
    elif aim.relation == "at_most_above":
        spread = result.paired(case, aim.of, aim.against, aim.figure, lambda one, other: one - other)
    elif aim.against:
        spread = result.ratio(case, aim.of, aim.against, aim.figure)
    else:
        spread = result.spread(case, aim.of, aim.figure)
    if not spread:
        return Verdict(case, "-", "not measured")
    met = spread.median >= aim.wanted if aim.relation == "at_least" else spread.median <= aim.wanted
    sign = "x" if aim.against and aim.relation != "at_most_above" else ""
    found = f"{figures.show(spread.median)}{sign}"
    if len(spread.values) > 1:
        found += f" ({figures.show(spread.least)} to {figures.show(spread.most)})"
    return Verdict(case, found, "met" if met else "missed")
