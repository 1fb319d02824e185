#!/usr/bin/env python3
"""Summarise a CSV table and draw a chart of it into the output directory."""

import argparse
import io
import json
import os
import sys
from pathlib import Path

KINDS = ("auto", "line", "bar", "scatter", "hist", "box")
AGGREGATES = ("sum", "mean", "median", "min", "max", "count")
OPERATORS = ("==", "!=", "<=", ">=", "<", ">", "contains")


class Problem(Exception):
    """Something that the caller can correct."""


class Parser(argparse.ArgumentParser):
    """Reports wrong usage like every other problem, as JSON on stdout."""

    def error(self, message):
        raise Problem(message)


def arguments(argv):
    p = Parser(description=__doc__, epilog="See references/options.md.")
    p.add_argument("file", nargs="?", default="-", help="CSV file; stdin when missing or -")
    p.add_argument("--separator", help="one of , ; tab | (default: detected)")
    p.add_argument("--decimal", default=".", choices=(".", ","), help="decimal sign (default: .)")
    p.add_argument("--encoding", default="utf-8", help="default: utf-8")
    p.add_argument("--dates", default="", metavar="COLUMN[,...]", help="columns to read as dates (default: detected)")
    p.add_argument("--where", action="append", default=[], metavar="'COLUMN OP VALUE'", help="keep rows (can be repeated)")
    p.add_argument("--limit", type=int, default=1_000_000, metavar="N", help="most rows to read (default: 1000000)")
    p.add_argument("--chart", choices=KINDS, default="auto", help="kind of chart (default: auto)")
    p.add_argument("--x", metavar="COLUMN")
    p.add_argument("--y", default="", metavar="COLUMN[,...]", help="number columns, up to 8")
    p.add_argument("--aggregate", choices=AGGREGATES, help="one value of y for each x")
    p.add_argument("--top", type=int, default=20, metavar="N", help="most bars (default: 20)")
    p.add_argument("--title")
    p.add_argument("--width", type=int, default=1000, metavar="N", help="pixels (default: 1000)")
    p.add_argument("--height", type=int, default=600, metavar="N", help="pixels (default: 600)")
    p.add_argument("--chart-name", default="chart.png", metavar="NAME")
    p.add_argument("--summary-name", default="summary.json", metavar="NAME")
    o = p.parse_args(argv)
    for name in ("width", "height"):
        if not 200 <= getattr(o, name) <= 4000:
            raise Problem(f"--{name} must be between 200 and 4000 pixels")
    for name in ("chart_name", "summary_name"):
        if Path(getattr(o, name)).name != getattr(o, name):
            raise Problem(f"--{name.replace('_', '-')} is a file name without directories")
    if o.limit < 1 or o.top < 1:
        raise Problem("--limit and --top must be at least 1")
    return o


def split(names):
    return [name.strip() for name in names.split(",") if name.strip()]


def known(frame, names):
    for name in names:
        if name not in frame.columns:
            raise Problem(f"there is no column {name!r}; columns: {', '.join(map(str, frame.columns))}")
    return names


def read(o):
    import pandas as pd

    if o.file == "-":
        source = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
        if not source.strip():
            raise Problem("no table: pass the path of a CSV file, or the table on stdin")
        beginning = source[:65536]
        source = io.BytesIO(source)
    else:
        source = Path(o.file)
        if not source.is_file():
            raise Problem(f"no such file: {source}")
        with source.open("rb") as file:
            beginning = file.read(65536)
    separator = {"tab": "\t", "\\t": "\t"}.get(o.separator, o.separator) or detect_separator(beginning)
    try:
        frame = pd.read_csv(
            source, sep=separator, decimal=o.decimal, encoding=o.encoding, nrows=o.limit, skipinitialspace=True
        )
    except (UnicodeDecodeError, LookupError):
        raise Problem(f"the table is not {o.encoding}; try --encoding cp1252") from None
    except Exception as error:
        raise Problem(f"the table cannot be read as CSV: {error}; try --separator") from None
    frame.columns = [str(name).strip() for name in frame.columns]
    if frame.empty:
        raise Problem("the table has a header but no rows")

    for name in known(frame, split(o.dates)):
        frame[name] = pd.to_datetime(frame[name], errors="coerce")
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column):
            texts = column.dropna().astype(str)
            if len(texts) and texts.str.match(r"\d{4}-\d{2}-\d{2}").mean() >= 0.9:
                frame[name] = pd.to_datetime(column, errors="coerce", format="ISO8601")
    return frame


def detect_separator(beginning):
    """The separator that the header has most of; a table of one column has none."""
    header = next((line for line in beginning.splitlines() if line.strip()), b"").decode("latin-1")
    unquoted = "".join(header.split('"')[::2])
    best = max(",;\t|", key=unquoted.count)
    return best if best in unquoted else ","


def keep(frame, condition):
    """The rows for which a condition such as `year >= 2024` holds."""
    import pandas as pd

    # The operator with spaces around it, so that names and values may hold these signs.
    for operator in OPERATORS:
        name, found, value = condition.partition(f" {operator} ")
        if found:
            break
    else:
        raise Problem(f"--where needs 'COLUMN OP VALUE' with spaces; OP is one of {', '.join(OPERATORS)}")
    name, value = name.strip(), value.strip().strip("'\"")
    column = frame[known(frame, [name])[0]]
    if operator == "contains":
        return frame[column.astype(str).str.contains(value, case=False, regex=False)]
    try:
        if pd.api.types.is_numeric_dtype(column):
            value = float(value)
        elif pd.api.types.is_datetime64_any_dtype(column):
            value = pd.Timestamp(value)
    except ValueError:
        raise Problem(f"{value!r} cannot be compared with column {name!r}") from None
    compare = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}[operator]
    return frame[getattr(column, compare)(value)]


def kind_of(column):
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return "date"
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return "number"
    return "text"


def number(value):
    """A number as JSON knows it: no NaN, and no digits that are only noise."""
    value = float(value)
    if value != value or value in (float("inf"), float("-inf")):
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else float(f"{value:.6g}")


def describe(frame):
    columns = []
    for name in frame.columns:
        column = frame[name]
        kind = kind_of(column)
        entry = {"name": name, "type": kind, "missing": int(column.isna().sum()), "unique": int(column.nunique())}
        filled = column.dropna()
        if kind == "number" and len(filled):
            for what in ("min", "max", "mean", "median", "std", "sum"):
                entry[what] = number(getattr(filled, what)())
        elif kind == "date" and len(filled):
            entry.update({what: getattr(filled, what)().isoformat().removesuffix("T00:00:00") for what in ("min", "max")})
        elif len(filled):
            entry["top"] = [[str(value), int(count)] for value, count in filled.astype(str).value_counts().head(5).items()]
        columns.append({key: value for key, value in entry.items() if value is not None})
    return columns


def correlations(frame, columns):
    numbers = [column["name"] for column in columns if column["type"] == "number" and column["unique"] > 1][:50]
    matrix = frame[numbers].corr()
    pairs = [
        [a, b, number(matrix.loc[a, b])]
        for i, a in enumerate(numbers)
        for b in numbers[i + 1 :]
        if abs(matrix.loc[a, b]) >= 0.5
    ]
    return sorted(pairs, key=lambda pair: -abs(pair[2]))[:20]


def choose(o, frame, columns):
    """Kind and columns of the chart: what was asked for, the rest by the types of the columns."""
    by_type = {kind: [c["name"] for c in columns if c["type"] == kind] for kind in ("number", "date", "text")}
    numbers = by_type["number"]
    x = known(frame, [o.x])[0] if o.x else None
    y = known(frame, split(o.y))
    if len(y) > 8:
        raise Problem("--y takes at most 8 columns")
    wrong = [name for name in y if name not in numbers]
    if wrong and o.aggregate != "count":
        raise Problem(f"column {wrong[0]!r} has no numbers; number columns: {', '.join(numbers) or 'none'}")

    kind = o.chart
    if kind == "auto":
        if x:
            kind = "line" if x in by_type["date"] else "scatter" if x in numbers and not o.aggregate else "bar"
        elif y and not by_type["date"] and not by_type["text"]:
            kind = "hist"
        else:
            few = [c["name"] for c in columns if c["type"] == "text" and c["unique"] <= 50]
            kind = "line" if by_type["date"] else "bar" if few else "scatter" if len(numbers) > 1 else "hist"
            x = (by_type["date"] or few or [None])[0] if kind in ("line", "bar") else None
    if kind in ("hist", "box"):
        x = None
    elif not x:
        pool = {"line": by_type["date"] + numbers + by_type["text"], "bar": by_type["text"] + by_type["date"]}
        x = next(iter(pool.get(kind, numbers) or list(frame.columns)), None)
    if not y:
        # The last number column is most often the result of the others.
        rest = [name for name in numbers if name != x]
        y = rest if kind == "box" else rest[-1:]
        y = y[:8]
    aggregate = o.aggregate
    if not y:
        if kind != "bar" and not (kind == "line" and x):
            raise Problem(f"a {kind} chart needs a column of numbers; number columns: {', '.join(numbers) or 'none'}")
        y, aggregate = [x], "count"
    if aggregate is None and kind in ("bar", "line") and frame[x].duplicated().any():
        aggregate = "sum"
    return kind, x, y, aggregate if kind in ("bar", "line", "scatter") else None


def draw(o, frame, kind, x, y, aggregate, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(o.width / 100, o.height / 100), dpi=100)
    data = frame
    if aggregate == "count":
        data = frame.groupby(x, sort=True).size().rename("count").reset_index()
        y = ["count"]
    elif aggregate:
        data = frame.groupby(x, sort=True)[y].agg(aggregate).reset_index()
    if kind == "hist":
        for name in y:
            axes.hist(data[name].dropna(), bins="auto", alpha=0.7, label=name)
        axes.set_ylabel("rows")
        axes.set_xlabel(", ".join(y))
    elif kind == "box":
        axes.boxplot([data[name].dropna() for name in y])
        axes.set_xticks(range(1, len(y) + 1), y)
    elif kind == "bar":
        if len(data) > o.top:
            data = data.loc[data[y[0]].nlargest(o.top).index].sort_values(x)
        labels = data[x].dt.strftime("%Y-%m-%d") if kind_of(data[x]) == "date" else data[x].astype(str)
        width = 0.8 / len(y)
        for i, name in enumerate(y):
            axes.bar([at + i * width for at in range(len(data))], data[name], width=width, label=name)
        axes.set_xticks([at + 0.4 - width / 2 for at in range(len(data))], labels)
    elif kind == "line":
        data = data.dropna(subset=[x]).sort_values(x)
        for name in y:
            axes.plot(data[x], data[name], marker="o" if len(data) <= 60 else None, label=name)
    else:
        for name in y:
            axes.scatter(data[x], data[name], s=18, alpha=0.7, label=name)
    names = [f"{aggregate} of {name}" if aggregate not in (None, "count") else name for name in y]
    if kind in ("bar", "line", "scatter"):
        axes.set_xlabel(x)
        axes.set_ylabel(names[0] if len(names) == 1 else aggregate or "value")
        if len(data) > 8 or kind == "line":
            figure.autofmt_xdate(rotation=30)
    if len(y) > 1 and kind != "box":
        axes.legend()
    axes.set_title(o.title or (f"{', '.join(names)} by {x}" if x else ", ".join(names)))
    axes.grid(axis="y", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main(argv):
    o = arguments(argv)
    frame = read(o)
    rows = len(frame)
    for condition in o.where:
        frame = keep(frame, condition)
    if frame.empty:
        raise Problem(f"no row is left after --where; the table has {rows}")
    columns = describe(frame)
    kind, x, y, aggregate = choose(o, frame, columns)

    directory = Path(os.environ.get("OUTPUT_DIR") or "/output")
    directory.mkdir(parents=True, exist_ok=True)
    draw(o, frame, kind, x, y, aggregate, directory / o.chart_name)
    chart = {"kind": kind, "x": x, "y": y, "aggregate": aggregate}
    chart = {key: value for key, value in chart.items() if value is not None}
    summary = {
        "rows": rows,
        "rowsUsed": len(frame),
        "duplicateRows": int(frame.duplicated().sum()),
        "columns": columns,
        "correlations": correlations(frame, columns),
        "chart": chart,
    }
    (directory / o.summary_name).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({
        "saved": [o.chart_name, o.summary_name],
        "rows": rows,
        "rowsUsed": len(frame),
        "columns": [f"{c['name']} ({c['type']})" for c in columns],
        "chart": chart,
    }, ensure_ascii=False))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Problem as problem:
        print(json.dumps({"error": str(problem)}, ensure_ascii=False))
        sys.exit(1)
    except (OSError, ImportError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}, ensure_ascii=False))
        sys.exit(1)
