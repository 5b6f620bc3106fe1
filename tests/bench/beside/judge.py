"""Says of each aim whether it is met."""
from dataclasses import dataclass

import figures
import servers
from results import Result


@dataclass
class Verdict:
    """Of one aim in one case. word: met, missed, or not measured. value: the median; share: how much of what is wanted
    that is, 1 and more when the aim is met. bound: what the scenario's bound reaches where the aim is missed, in words;
    out_of_reach: that misses it too, though it comes nearer."""
    case: str
    found: str
    word: str
    value: float = None
    share: float = None
    bound: str = ""
    out_of_reach: bool = False


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

    def out_of_reach(self):
        return sum(verdict.out_of_reach for verdict in self.verdicts)


def label(subject):
    return servers.LABELS.get(subject, subject)


def judge(scenario, data):
    """Every aim of a scenario in each of its cases; without a result all are not measured."""
    result = Result(data) if data else None
    out = []
    for aim in scenario.aims:
        cases = [case.name for case in scenario.cases if (not aim.cases or case.name in aim.cases) and _takes_part(aim, case)]
        out.append(Judged(scenario.name, f"{label(aim.of)}: {aim.says}", _wanted(aim), _unit(aim),
                          [_verdict(result, scenario.bound, aim, case) for case in cases]))
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


def _spread(result, aim, subject, case):
    """What a subject reaches of what the aim is about."""
    if aim.relation == "at_most_above":
        return result.paired(case, subject, aim.against, aim.figure, lambda one, other: one - other)
    if aim.against:
        return result.ratio(case, subject, aim.against, aim.figure)
    return result.spread(case, subject, aim.figure)


def _met(aim, value):
    return value >= aim.wanted if aim.relation == "at_least" else value <= aim.wanted


def _verdict(result, bound, aim, case):
    spread = _spread(result, aim, aim.of, case) if result else None
    if not spread:
        return Verdict(case, "-", "not measured")
    found = f"{figures.show(spread.median)}{_unit(aim)}"
    if len(spread.values) > 1:
        found += f" ({figures.show(spread.least)} to {figures.show(spread.most)})"
    out = Verdict(case, found, "met" if _met(aim, spread.median) else "missed", spread.median, _share(aim, spread.median))
    # Latencies have no bound here: who writes nothing back waits for nobody in so short a run.
    if out.word == "met" or bound in ("", aim.against) or aim.figure.endswith("_ms"):
        return out
    limit = _spread(result, aim, bound, case)
    if limit:
        out.bound = f"{label(bound)} {figures.show(limit.median)}{_unit(aim)}"
        out.out_of_reach = not _met(aim, limit.median) and _share(aim, limit.median) >= out.share
    return out
