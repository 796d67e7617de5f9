"""Print the medians of a pytest-benchmark JSON file as a markdown table of ratios to this package.

``python -m bench.compare out.json``: a row per group, a column per member; in brackets how many times longer than
`sparsegmrf` the member took.
"""

import argparse
import json

OURS = "sparsegmrf"


def main():
    """Read the file named on the command line and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    with open(parser.parse_args().file) as file:
        results = json.load(file)
    print(environment(results))
    print()
    print(table(results["benchmarks"]))


def environment(results):
    """Describe machine, versions and threads in a line."""
    cpu = results["machine_info"]["cpu"]
    extra = next((b["extra_info"] for b in results["benchmarks"] if "pools" in b["extra_info"]), {})
    parts = [
        f"{cpu.get('brand_raw', 'unknown processor')}, {cpu.get('count')} cores",
        f"Python {results['machine_info']['python_version']}",
        f"{extra.get('threads', '?')} threads",
        f"CHOLMOD on {extra.get('cholmod_blas', 'no')} BLAS",
        *extra.get("pools", []),
        results["datetime"][:16],
    ]
    return "; ".join(parts)


def table(benchmarks):
    """Return the markdown table, members in the order of the file."""
    groups, members = {}, {}
    for benchmark in benchmarks:
        groups.setdefault(benchmark["group"], {})[benchmark["name"]] = benchmark["stats"]["median"]
        members[benchmark["name"]] = None
    lines = [f"| | {' | '.join(members)} |", "|---" * (len(members) + 1) + "|"]
    for group, medians in groups.items():
        ours = medians.get(OURS)
        cells = [cell(medians.get(name), ours if name != OURS else None) for name in members]
        lines.append(f"| {group} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(median, ours):
    """Return a median in milliseconds, with its ratio to ours."""
    if median is None:
        return ""
    ratio = "" if ours is None else f" ({median / ours:.2f})"
    return f"{1e3 * median:.3g} ms{ratio}"


if __name__ == "__main__":
    main()
