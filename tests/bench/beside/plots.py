"""Plots as SVG by gnuplot, in colours that are read on a light and on a dark page."""
import math
import os
import re
import subprocess

import figures
import judge
from results import Result

# Middle tones, told apart by those who do not see red and green, too; the same subject has the same colour everywhere.
COLOURS = {"durable": "#3b82c4", "page": "#1fa187", "kafka": "#e07b39", "sink": "#9a86c9", "files": "#6f6a8a", "echo": "#9a86c9"}
RAW_COLOURS = ["#b08d57", "#8c8c8c", "#c25b7c"]
INK = "#808080"
NOT_BARS = ("crc",)  # so far above all others that nothing else could be seen beside it
CROWDED = 15  # bars, beyond which their figures would stand in each other's way and stand upright
AXIS_LETTERS = 85  # that stand beside each other under an axis
LINES = 6  # of a plot of latencies
WIDTH, HEIGHT = 860, 420


def names_of_plots():
    return ["latency", "memory", "rate", *(name.replace("_", "-") for name in figures.ALL)]


def available():
    try:
        return subprocess.run(["gnuplot", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def _quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tick(text):
    """A label of an axis, which gnuplot takes as a format."""
    return _quoted(text.replace("%", "%%")).replace("\n", "\\n")


def _wrapped(names):
    """Names beside each other under an axis, on two lines where they would run into each other."""
    if len(names) * max(map(len, names)) <= AXIS_LETTERS:
        return names
    return [_in_two(name, ", ") or _in_two(name, " ") or name for name in names]


def _in_two(name, gap):
    """Broken at the gap that is nearest to the middle."""
    places = [match.end() for match in re.finditer(re.escape(gap), name)]
    if not places:
        return None
    at = min(places, key=lambda place: abs(place - len(name) / 2))
    return name[:at].rstrip() + "\n" + name[at:]


def _short(value):
    """A figure over a bar."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= 100 * size or unit == "M" and value >= size:
            return figures.show(value / size).replace(".00", "") + unit
    return figures.show(value)


def _gnuplot(path, script):
    head = f"""
set terminal svg size {WIDTH},{HEIGHT} dynamic enhanced font "Helvetica,Arial,sans-serif,13" name "plot"
set output {_quoted(path)}
set encoding utf8
set border 3 lc rgb "{INK}" lw 1
set tics nomirror tc rgb "{INK}"
set grid ytics lc rgb "{INK}" lw 0.3 dt 3
set title tc rgb "{INK}" font ",14" offset 0,-0.4
set xlabel tc rgb "{INK}" offset 0,0.3
set ylabel tc rgb "{INK}"
set key tmargin center horizontal tc rgb "{INK}" noenhanced samplen 1.6 width 1
"""
    done = subprocess.run(["gnuplot"], input=head + script, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"gnuplot: {done.stderr.strip()}")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(_slimmed(text))


def _slimmed(text):
    """Half of what gnuplot writes are groups with nothing in them and symbols that no plot here uses."""
    text = "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"
    text = re.sub(r"<defs>.*?</defs>\n", "", text, count=1, flags=re.S)
    return re.sub(r"<g [^>]*>\n</g>\n", "", text)


def _subjects(scenario, data):
    """Those that have a result, in the order of the table."""
    seen = {subject for subjects in data["cases"].values() for subject, cell in subjects.items() if cell["values"]}
    return [subject for subject in [*scenario.servers, *scenario.raw] if subject in seen]


def _colour(scenario, subject):
    if subject in COLOURS:
        return COLOURS[subject]
    return RAW_COLOURS[list(scenario.raw).index(subject) % len(RAW_COLOURS)]


def _title(scenario, what):
    return f"set title {_quoted(f'{scenario.name}: {what}')} noenhanced\n"


def bars(scenario, data, figure, path):
    """One group of bars a case, one bar a subject: the median, with least and most as a whisker."""
    result, cases = Result(data), [case.name for case in scenario.cases]
    subjects = [subject for subject in _subjects(scenario, data)
                if subject not in NOT_BARS and any(result.spread(case, subject, figure) for case in cases)]
    if not subjects:
        return False
    wanted = figures.ALL[figure]
    script = _title(scenario, wanted.label + (" (more is better)" if wanted.better == "more" else " (less is better)"))
    spreads = {(case, subject): result.spread(case, subject, figure) for case in cases for subject in subjects}
    medians = [spread.median for spread in spreads.values() if spread and spread.median > 0]
    crowded = len(subjects) * len(cases) > CROWDED
    logarithmic = medians and max(medians) > 40 * min(medians)
    script += f"set ylabel {_quoted(wanted.label + (', logarithmic' if logarithmic else ''))} noenhanced\n"
    if logarithmic:
        script += f"set logscale y\nset yrange [{10 ** math.floor(math.log10(min(medians)))}:{max(medians) * (6 if crowded else 2)}]\n"
    else:
        script += f"set yrange [0:{(1.3 if crowded else 1.12) * max([spread.most for spread in spreads.values() if spread] + [1e-9])}]\n"
    if medians and min(medians) >= 1 and max(medians) >= 1e5:
        script += "set format y '%.0s%c'\n"
    script += "set xrange [-0.6:%s]\nset xtics (%s) scale 0 noenhanced\n" % (
        len(cases) - 0.4, ", ".join(f"{_tick(name)} {at}" for at, name in enumerate(_wrapped(cases))))
    if _wrapped(cases) != cases:
        script += "set bmargin 3.6\n"
    width = 0.8 / len(subjects)
    script += f"set boxwidth {width * 0.92}\nset style fill solid 0.9 noborder\n"
    lines = []
    for order, subject in enumerate(subjects):
        script += f"$bars{order} << END\n"
        for at, case in enumerate(cases):
            spread = spreads[case, subject]
            if spread:
                x = at - 0.4 + width * (order + 0.5)
                script += f"{x:.4f} {spread.median} {spread.least} {spread.most} {_short(spread.median)}\n"
        script += "END\n"
        lines.append(f"$bars{order} using 1:2 with boxes lc rgb '{_colour(scenario, subject)}' title {_quoted(judge.label(subject))}")
        lines.append(f"$bars{order} using 1:3:(0):($4-$3) with vectors nohead lw 1.6 lc rgb '{INK}' notitle")
        lines.append(f"$bars{order} using 1:4:5 with labels noenhanced font ',10' tc rgb '{INK}' "
                     + ("rotate by 90 left offset 0,0.4 notitle" if crowded else "offset 0,0.6 notitle"))
    script += "plot " + ", ".join(lines) + "\n"
    _gnuplot(path, script)
    return True


def latency(scenario, data, path, only=None):
    """Latency over the share of requests that were answered by then; the scale stretches towards the slowest."""
    script, lines = "", []
    cases = [case.name for case in scenario.cases if only in (None, case.name)]
    deepest = 0.0
    for number, case in enumerate(cases):
        for subject in _subjects(scenario, data):
            cell = data["cases"].get(case, {}).get(subject)
            points = [(1 - quantile, us) for quantile, us in figures.middle_curve(cell["curves"]) if quantile < 1 and us > 0] if cell else []
            if len(points) < 3:
                continue
            name = f"$curve{len(lines)}"
            script += f"{name} << END\n" + "".join(f"{-math.log10(left):.5f} {us / 1000}\n" for left, us in points) + "END\n"
            deepest = max(deepest, -math.log10(points[-1][0]))
            title = judge.label(subject) + (f", {case}" if len(cases) > 1 else "")
            lines.append(f"{name} using 1:2 with lines lw 2.2 dt {number + 1} lc rgb '{_colour(scenario, subject)}' "
                         f"title {_quoted(title)}")
    if not lines:
        return False
    ticks = {"0": 0, "50 %": math.log10(2), "90 %": 1, "99 %": 2, "99.9 %": 3, "99.99 %": 4, "99.999 %": 5}
    head = _title(scenario, "latency distribution" + (f", {only}" if only else ""))
    head += "set xlabel 'answered by then'\nset ylabel 'ms, logarithmic'\nset logscale y\nset format y '%g'\n"
    head += f"set xrange [0:{deepest:.3f}]\nset xtics ({', '.join(f'{_tick(name)} {at:.5f}' for name, at in ticks.items())})\n"
    head += "set key maxcols 3\nunset mytics\n"
    _gnuplot(path, head + script + "plot " + ", ".join(lines) + "\n")
    return True


def over_time(scenario, data, column, label, path):
    """A column of the samples over the time of the middle round."""
    script, lines = "", []
    cases = [case.name for case in scenario.cases]
    longest = max((cell["samples"][-1][0] for subjects in data["cases"].values() for cell in subjects.values()
                   if cell["samples"]), default=0)
    unit, scale = ("minutes", 60) if longest > 180 else ("seconds", 1)
    for number, case in enumerate(cases):
        for subject in _subjects(scenario, data):
            cell = data["cases"].get(case, {}).get(subject)
            if not cell or not cell["samples"]:
                continue
            name = f"$samples{len(lines)}"
            script += f"{name} << END\n" + "".join(f"{row[0] / scale:.3f} {row[column]}\n" for row in cell["samples"]) + "END\n"
            title = judge.label(subject) + (f", {case}" if len(cases) > 1 else "")
            lines.append(f"{name} using 1:2 with lines lw 1.8 dt {number + 1} lc rgb '{_colour(scenario, subject)}' "
                         f"title {_quoted(title)}")
    if not lines:
        return False
    values = [row[column] for subjects in data["cases"].values() for cell in subjects.values() for row in cell["samples"]]
    low = min((value for value in values if value > 0), default=1)
    head = _title(scenario, label) + f"set xlabel '{unit}'\n"
    if max(values, default=0) > 20 * low and column == 2:
        head += f"set logscale y\nset ylabel {_quoted(label + ', logarithmic')} noenhanced\n"
    else:
        head += f"set yrange [0:*]\nset ylabel {_quoted(label)} noenhanced\n"
    _gnuplot(path, head + script + "plot " + ", ".join(lines) + "\n")
    return True


def latencies(scenario, data, folder):
    """One plot, or one for each case where all their lines in one could not be told apart."""
    curves = sum(bool(cell.get("curves")) for subjects in data["cases"].values() for cell in subjects.values())
    stem, out = f"{scenario.name}-latency", []
    parts = [(stem, None)] if curves <= LINES or len(scenario.cases) == 1 else [
        (f"{stem}-{number + 1}", case.name) for number, case in enumerate(scenario.cases)]
    for name, only in parts:
        if latency(scenario, data, os.path.join(folder, name + ".svg"), only):
            out.append((name + ".svg", "latency distribution" + (f", {only}" if only else "")))
    return out


def draw(scenario, data, folder):
    """Makes the plots of a scenario; returns their file names with a caption."""
    os.makedirs(folder, exist_ok=True)
    out = []
    for old in os.listdir(folder):
        if re.fullmatch(re.escape(scenario.name) + r"-(" + "|".join(names_of_plots()) + r")(-\d+)?\.svg", old):
            os.unlink(os.path.join(folder, old))
    for plot in scenario.plots:
        name = f"{scenario.name}-{plot.replace('_', '-')}.svg"
        path = os.path.join(folder, name)
        if plot == "latency":
            out += latencies(scenario, data, folder)
            continue
        if plot == "memory":
            made, caption = over_time(scenario, data, 2, "VmRSS, MiB", path), "memory over time"
        elif plot == "rate":
            made, caption = over_time(scenario, data, 1, "MiB/s", path), "throughput over time"
        else:
            made, caption = bars(scenario, data, plot, path), figures.ALL[plot].label
        if made:
            out.append((name, caption))
    return out
