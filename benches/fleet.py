"""What engines take for questions to a dataset of many machines: `make bench-fleet`.

A history of the benchmark's generator is shipped, by the hour and then by the day; its files, as
those of so many machines, are hard links to one machine's. So an engine decompresses, filters and
groups all rows, but reads them from the memory of this machine: what a disk or an object store
adds is not in the figures, except for the number of files.
"""

import json
import os
import pathlib
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

egrets, generator, python, engines = sys.argv[1:]
CONNECTIONS = int(os.environ.get("CONNECTIONS", "1440000"))
MACHINES = [int(n) for n in os.environ.get("MACHINES", "7 70 706").split()]
ENGINES = os.environ.get("ENGINES", "duckdb clickhouse spark").split()
ROOT = pathlib.Path(__file__).parent.parent
ENVIRONMENT = dict(os.environ, EGRETS_CONFIG="none")


def run(*command):
    """Its output, the seconds that it took, and those of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    output = subprocess.run(command, env=ENVIRONMENT, check=True, text=True, capture_output=True)
    took = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return output.stdout or output.stderr, took, cpu


def ship(history, dataset, *args):
    command = [egrets, "ship", "--once", "--machine", "m-0", "--to", dataset, "--db", history]
    said, took, cpu = run(*command, *args)
    print(f"ship {' '.join(args)}: {said.strip()}; {took:.1f} s, {cpu:.1f} s of processor time")


def link(machine, to, count):
    """Files of `count` machines that are those of one."""
    for file in machine.rglob("*.parquet"):
        path = file.relative_to(machine).as_posix()
        for n in range(count):
            name = to / path.replace("machine=m-0/", f"machine=m-{n}/")
            name.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, name)


def seconds(engine, dataset, questions):
    """For each question, the seconds that it took, a median of three, and the number of rows."""
    views, _, _ = run(egrets, "export", "--ddl", engine, "--output", dataset)
    statements = [run(egrets, "query", f"--sql={engine}", question)[0] for question in questions]
    interpreter = pathlib.Path(python if engine == "duckdb" else engines) / "bin/python"
    script = ROOT / "tests/tools/engine.py"
    output = subprocess.run(
        [interpreter, script, engine, "--seconds"],
        input=json.dumps([[views, statements]]),
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return json.loads(output.stdout)[0]


def main(directory):
    history = directory / "history.db"
    run(generator, "--write", str(history), str(CONNECTIONS))
    hours, days = directory / "hours", directory / "days"
    ship(history, hours, "--keep-hours")
    shutil.copytree(hours, days)
    ship(history, days)
    with sqlite3.connect(history) as db:
        host, day = db.execute(
            "SELECT host, date(ts / 1000000000, 'unixepoch') FROM egress WHERE ts >= "
            "(SELECT (min(ts) + max(ts)) / 2 FROM connection) AND host IS NOT NULL LIMIT 1"
        ).fetchone()
    questions = [
        f"which machines hit {host}",
        f"which machines hit {host} on {day}",
        "what did curl talk to on machine m-3",
        "connections per machine",
        "top 10 hosts",
    ]
    print(f"\n| machines | connections | files | engine | {' | '.join(questions)} |")
    print(f"| ---: | ---: | ---: | --- |{' ---: |' * len(questions)}")
    for split, files in (("hour", hours), ("day", days)):
        for count in MACHINES:
            if split == "hour" and count != sorted(MACHINES)[len(MACHINES) // 2]:
                continue
            dataset = directory / f"{split}-{count}"
            link(files, dataset, count)
            number = sum(1 for _ in dataset.rglob("*.parquet"))
            for engine in ENGINES:
                took = seconds(engine, dataset, questions)
                cells = " | ".join(f"{statistics.median(s):.2f} s" for s, _ in took)
                rows = count * CONNECTIONS
                print(f"| {count} | {rows:,} | {number:,} | {engine} | {cells} |", flush=True)
            shutil.rmtree(dataset)


with tempfile.TemporaryDirectory(dir=os.environ.get("EGRETS_BENCH_DIR", "/var/tmp")) as place:
    main(pathlib.Path(place))
