"""Puts statements to an engine: duckdb, clickhouse (chDB) or spark. On stdin a JSON array of
[setup, statements]; on stdout an array with, for each, the answers: arrays of rows, as objects.
A statement that fails is an error with its text. With --seconds, not the answers: how long each
statement took, three times, and the number of rows."""

import json
import sys
import time


def duckdb(setup):
    import duckdb

    connection = duckdb.connect()
    connection.execute(setup)

    def answer(statement):
        result = connection.execute(statement)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row)) for row in result.fetchall()]

    return answer


def clickhouse(setup):
    from chdb.session import Session

    session = Session()
    session.query("CREATE DATABASE egrets; USE egrets")
    session.query("SET output_format_json_quote_64bit_integers = 0")
    session.query(setup)

    def answer(statement):
        rows = session.query(statement, "JSONEachRow").bytes().decode(errors="replace")
        return [json.loads(row) for row in rows.splitlines()]

    return answer


def spark(setup):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local-cluster[2,1,1024]")
    # another zone than the dataset's: answers don't depend on it
    builder = builder.config("spark.sql.session.timeZone", "America/New_York")
    builder = builder.config("spark.sql.shuffle.partitions", "2")
    builder = builder.config("spark.ui.enabled", "false")
    builder = builder.config("spark.log.level", "ERROR")
    session = builder.getOrCreate()
    for statement in setup.split(";\n"):
        if statement.strip():
            session.sql(statement)

    def answer(statement):
        return [row.asDict() for row in session.sql(statement).collect()]

    return answer


def attempt(answer, statement):
    try:
        return answer(statement)
    except Exception as e:
        sys.exit(f"{statement}\n{e}")


def seconds(answer, statement):
    took = []
    for _ in range(3):
        begun = time.monotonic()
        rows = attempt(answer, statement)
        took.append(time.monotonic() - begun)
    return took, len(rows)


connect = {"duckdb": duckdb, "clickhouse": clickhouse, "spark": spark}[sys.argv[1]]
ask = seconds if "--seconds" in sys.argv else attempt
answers = []
for setup, statements in json.load(sys.stdin):
    answer = connect(setup)
    answers.append([ask(answer, statement) for statement in statements])
json.dump(answers, sys.stdout, default=str)
