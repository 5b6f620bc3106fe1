"""Says of each aim whether it is met."""
from dataclasses import dataclass

import figures
import servers
from results import Result


@dataclass
class Verdict:
    scenario: str
    case: str
    says: str
    found: str
    wanted: str
    word: str  # met, missed, or not measured


def label(subject):
    return servers.LABELS.get(subject, subject)


def judge(scenario, data):
    """A verdict for each aim in each of its cases; without a result all are not measured."""
    result = Result(data) if data else None
    return [_one(scenario, result, aim, case.name)
            for aim in scenario.aims for case in scenario.cases
            if (not aim.cases or case.name in aim.cases) and _takes_part(aim, case)]


def _takes_part(aim, case):
    return all(subject not in servers.LABELS or subject in case.servers for subject in (aim.of, aim.against))


def _one(scenario, result, aim, case):
    figure = figures.ALL[aim.figure]
    wanted = ("at least " if aim.relation == "at_least" else "at most ") + figures.show(aim.wanted)
    sign = ""
    if aim.relation == "at_most_above":
        spread = result.paired(case, aim.of, aim.against, aim.figure, lambda one, other: one - other) if result else None
        wanted += f" {figure.unit} above {label(aim.against)}"
    elif aim.against:
        spread = result.ratio(case, aim.of, aim.against, aim.figure) if result else None
        sign = "x"
        wanted += f"x {label(aim.against)}"
    else:
        spread = result.spread(case, aim.of, aim.figure) if result else None
        wanted += f" {figure.unit}"
    if not spread:
        return Verdict(scenario.name, case, f"{label(aim.of)}: {aim.says}", "-", wanted, "not measured")
    met = spread.median >= aim.wanted if aim.relation == "at_least" else spread.median <= aim.wanted
    found = f"{figures.show(spread.median)}{sign}"
    if len(spread.values) > 1:
        found += f" ({figures.show(spread.least)} to {figures.show(spread.most)})"
    return Verdict(scenario.name, case, f"{label(aim.of)}: {aim.says}", found, wanted, "met" if met else "missed")
