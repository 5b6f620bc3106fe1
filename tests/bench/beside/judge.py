"""Says of each aim whether it is met."""
from dataclasses import dataclass

import figures
import servers
from results import Result


@dataclass
class Verdict:
    """Of one aim in one case. word: met, missed, or not measured. value: the median; share: how much of what is wanted
    that is, 1 and more when the aim is met."""
    case: str
    found: str
    word: str
    value: float = None
    share: float = None


@dataclass
class Judged:
    """One aim of a scenario with its verdicts."""
    scenario: str
    says: str
    wanted: str
    unit: str
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
        out.append(Judged(scenario.name, f"{label(aim.of)}: {aim.says}", _wanted(aim), _unit(aim),
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


def _unit(aim):
    return "x" if aim.against and aim.relation != "at_most_above" else ""


def _share(aim, value):
    if aim.relation == "at_least":
        return value / aim.wanted
    # Where nothing or less than nothing is wanted or found, a ratio says nothing: one is as far off as it is.
    return aim.wanted / value if value > 0 and aim.wanted > 0 else 1.0 if value <= aim.wanted else 0.0


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
    found = f"{figures.show(spread.median)}{_unit(aim)}"
    if len(spread.values) > 1:
        found += f" ({figures.show(spread.least)} to {figures.show(spread.most)})"
    return Verdict(case, found, "met" if met else "missed", spread.median, _share(aim, spread.median))
