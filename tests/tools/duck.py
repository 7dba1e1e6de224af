"""Puts statements to DuckDB. On stdin a JSON array of [setup, statements]; on stdout an
array with, for each, the answers: arrays of rows, as objects."""

import json
import sys

import duckdb


def answer(connection, statement):
    result = connection.execute(statement)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]


answers = []
for setup, statements in json.load(sys.stdin):
    connection = duckdb.connect()
    connection.execute(setup)
    answers.append([answer(connection, statement) for statement in statements])
json.dump(answers, sys.stdout, default=str)
