//! Statements over the rows of many machines, in the SQL of another engine: the statement for
//! SQLite, translated token by token. What the engine would answer in another way, or what has no
//! answer over several machines, is refused.

use anyhow::{Result, bail};
use chrono::DateTime;

use super::engine::Engine;
use super::tree::{Node, parse};
use super::{Zone, statement};
use crate::query::ast::{Actors, Counted, Predicate, Projection, Question, Subject};

/// The functions that mean the same everywhere.
const COMMON: [&str; 10] = [
    "abs",
    "avg",
    "count",
    "instr",
    "lag",
    "max",
    "min",
    "round",
    "row_number",
    "sum",
];

/// Words before a parenthesis that call nothing.
const KEYWORDS: [&str; 20] = [
    "ALL", "AND", "AS", "BY", "CASE", "ELSE", "EXISTS", "FROM", "HAVING", "IN", "LIKE", "NOT",
    "ON", "OR", "OVER", "SELECT", "THEN", "UNION", "WHEN", "WHERE",
];

/// Words and symbols of conditions.
const COMPARING: [&str; 8] = ["AND", "BETWEEN", "EXISTS", "IN", "IS", "LIKE", "NOT", "OR"];
const COMPARISONS: [&str; 6] = ["=", "<>", "<", ">", "<=", ">="];

/// The statement that answers `question` over a dataset. Its names are what they say, since
/// nothing is known of what is in it.
///
/// # Errors
///
/// A question that has no answer there, with what to do instead.
pub fn dataset_statement(
    engine: Engine,
    question: &Question,
    (since, until): (Option<i64>, Option<i64>),
    zone: &Zone,
) -> Result<String> {
    refuse(question)?;
    let mut question = question.clone();
    if question.leaves_out_answers() {
        question.predicates.push(Predicate::Direction("out"));
    }
    let sqlite = of_machines(&question, statement(&question, since, until, zone, false));
    let translator = Translator {
        engine,
        has_ts: question.projection != Projection::NamesOfAddress,
    };
    let sql = translator.translate(&parse(&sqlite))?;
    Ok(format!("{}{}", sql.trim_end(), engine.settings()))
}

/// The same over several histories, in SQLite: their views tell whose rows they have.
///
/// # Errors
///
/// A question that has no answer there, with what to do instead.
pub fn statement_of_several(
    question: &Question,
    (since, until): (Option<i64>, Option<i64>),
    zone: &Zone,
) -> Result<String> {
    refuse(question)?;
    // a day of one machine begins within one of another
    let use_rollups = since.is_none() && until.is_none() && question.bucket.is_none();
    let sql = statement(question, since, until, zone, use_rollups);
    let mut sql = of_machines(question, sql);
    for id in ["id", "uid"] {
        for is_in in ["IN", "NOT IN"] {
            sql = sql.replace(
                &format!("{id} {is_in} (SELECT {id} "),
                &format!("(history, {id}) {is_in} (SELECT history, {id} "),
            );
        }
    }
    Ok(sql.replace("count(DISTINCT id)", "count(DISTINCT history || ' ' || id)"))
}

/// Refuses what only a machine itself can answer.
fn refuse(question: &Question) -> Result<()> {
    if question.projection == Projection::Beacons {
        bail!(
            "connections at regular intervals are found on each machine alone: ask 'egrets query' \
             there"
        );
    }
    let all = question.predicates.iter().chain(&question.also);
    for predicate in all.chain(&question.never) {
        refuse_predicate(predicate)?;
    }
    Ok(())
}

fn refuse_predicate(predicate: &Predicate) -> Result<()> {
    match predicate {
        Predicate::Open => bail!(
            "which connections are open is known on each machine alone: ask 'egrets query' there"
        ),
        Predicate::SinceBoot => {
            bail!("each machine started at another time: give a time, such as \"since monday\"")
        }
        Predicate::By(subject) if subject.needs_ancestors() => {
            bail!(
                "ancestors of processes are known on each machine alone: ask 'egrets query' there"
            )
        }
        Predicate::By(Subject::Those { did, .. }) => refuse_predicate(did),
        Predicate::Not(of) | Predicate::Elsewhere(of) => refuse_predicate(of),
        Predicate::Any(all) | Predicate::All(all) => all.iter().try_for_each(refuse_predicate),
        _ => Ok(()),
    }
}

/// The statement with what identifies something on one machine only together with the machine,
/// and with the machine among the columns of single rows.
fn of_machines(question: &Question, sql: String) -> String {
    let of_users = matches!(
        question.projection,
        Projection::Actors(Actors::Users)
            | Projection::Pairs(Actors::Users)
            | Projection::FirstHosts(Actors::Users)
            | Projection::FirstActors(Actors::Users)
            | Projection::Count(Counted::Actors(Actors::Users))
    );
    // what is open is known on each machine
    let open = super::measure::open_us();
    let mut sql = sql
        .replace(&format!("coalesce(duration_us, {open})"), "duration_us")
        .replace(&format!(",\n       {open} AS open_us"), "")
        // An uid is another user elsewhere, unless they are called the same.
        .replace(
            "comm, exe, uid, container_id",
            "comm, exe, uid, user, container_id",
        )
        .replace("pid, start_ts", "history, pid, start_ts")
        .replace("pid || ' ' ||", "history || ' ' || pid || ' ' ||")
        .replace(
            "old.pid = egress.pid",
            "old.history = egress.history AND old.pid = egress.pid",
        )
        .replace(
            "old.pid = lookups.pid",
            "old.history = lookups.history AND old.pid = lookups.pid",
        )
        .replace("SELECT id, time, comm,", "SELECT machine, id, time, comm,")
        .replace(
            "0, id, time FROM dns",
            "0, json_array(history, id), time FROM dns",
        );
    if question.projection == Projection::Addresses {
        sql = sql.replace("dst_ip, dst_scope,", "dst_ip, max(dst_scope) AS dst_scope,");
    }
    if of_users {
        sql = sql
            .replace("GROUP BY uid", "GROUP BY uid, user")
            .replace("json_array(uid)", "json_array(uid, user)");
    }
    if question.projection == Projection::Verdicts {
        // SQLite takes those of any row.
        sql = sql.replace(
            " uid, user, container_id, container_name,",
            " uid, max(user) AS user, container_id, max(container_name) AS container_name,",
        );
    }
    sql
}

struct Translator {
    engine: Engine,
    /// Wherever the statement has `time`, there is `ts`, too.
    has_ts: bool,
}

impl Translator {
    fn translate(&self, nodes: &[Node]) -> Result<String> {
        let mut out = String::new();
        let mut at = 0;
        while at < nodes.len() {
            at = self.next(nodes, at, &mut out)?;
        }
        Ok(out)
    }

    /// Translates what begins at `at`. Returns where it ends.
    fn next(&self, nodes: &[Node], at: usize, out: &mut String) -> Result<usize> {
        match &nodes[at] {
            Node::Space(space) => out.push_str(space),
            Node::Number(number) => out.push_str(number),
            Node::Text(literal) => out.push_str(&self.engine.text(literal)),
            Node::Blob(hex) => out.push_str(&format!("unhex('{hex}')")),
            Node::Group(group) => {
                out.push('(');
                out.push_str(&self.translate(group)?);
                out.push(')');
            }
            Node::Symbol(symbol) if symbol == "/" && !is_real_division(nodes, at) => {
                out.push_str(self.engine.divide());
            }
            Node::Symbol(symbol) => out.push_str(symbol),
            Node::Word(word) => return self.word(nodes, at, word, out),
        }
        Ok(at + 1)
    }

    fn word(&self, nodes: &[Node], at: usize, word: &str, out: &mut String) -> Result<usize> {
        if let Some(Node::Group(group)) = nodes.get(at + 1)
            && !is_keyword(word)
        {
            out.push_str(&self.call(word, group)?);
            return Ok(at + 2);
        }
        if let Some(end) = time_bound(nodes, at, out) {
            return Ok(end);
        }
        if let Some(end) = self.of_rows(nodes, at, word, out)? {
            return Ok(end);
        }
        if word == "EXISTS"
            && let Some((sql, end)) = self.exists(nodes, at)?
        {
            out.push_str(&sql);
            return Ok(end);
        }
        match word {
            "IS" => return Ok(self.is(nodes, at, out)),
            "ORDER" => return self.order(nodes, at, out),
            "ESCAPE" if !self.engine.names_escape() => {
                let space = out.trim_end().len();
                out.truncate(space);
                return Ok(skip_space(nodes, at + 1).map_or(at, |literal| literal) + 1);
            }
            "LIKE" => out.push_str("ILIKE"),
            "user" => out.push_str(&self.engine.name_of_column(word)),
            "egress_total" => out.push_str("egress"),
            "lookups_total" => out.push_str("lookups"),
            word => out.push_str(word),
        }
        Ok(at + 1)
    }

    /// EXISTS with earlier rows of the same view, which have the same values. ClickHouse finds none
    /// where a value is NULL, so there the values are compared with all of those rows', as text.
    fn exists(&self, nodes: &[Node], at: usize) -> Result<Option<(String, usize)>> {
        let group = skip_space(nodes, at + 1).filter(|_| self.engine == Engine::ClickHouse);
        let Some((group, Node::Group(select))) = group.map(|at| (at, &nodes[at])) else {
            return Ok(None);
        };
        let words = Vec::from_iter(select.iter().filter(|node| !node.is_space()));
        let [
            _,
            _,
            _,
            Node::Word(view),
            renamed,
            Node::Word(old),
            clause,
            ..,
        ] = &words[..]
        else {
            return Ok(None);
        };
        if !renamed.is_word("AS") || !clause.is_word("WHERE") {
            return Ok(None);
        }
        let start = select.iter().position(|node| node.is_word("WHERE"));
        let conditions = &select[start.map_or(0, |at| at + 1)..];
        let (mut ours, mut theirs, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for condition in conditions.split(|node| node.is_word("AND")) {
            let words = condition.iter().filter(|node| !node.is_space());
            match Vec::from_iter(words)[..] {
                [
                    Node::Word(a),
                    _,
                    Node::Word(column),
                    equals,
                    Node::Word(b),
                    _,
                    Node::Word(same),
                ] if a == old
                    && b == view
                    && column == same
                    && (equals.is_symbol("=") || equals.is_word("IS")) =>
                {
                    let column = self.engine.name_of_column(column);
                    ours.push(format!("ifNull(toString({column}), '\\0')"));
                    theirs.push(format!("ifNull(toString({old}.{column}), '\\0')"));
                }
                _ => others.push(self.translate(condition)?.trim().to_owned()),
            }
        }
        if ours.is_empty() {
            return Ok(None);
        }
        others.retain(|condition| !condition.is_empty());
        let others = match others.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", others.join(" AND ")),
        };
        let sql = format!(
            "(({}) IN (SELECT {} FROM {view} AS {old}{others}))",
            ours.join(", "),
            theirs.join(", ")
        );
        Ok(Some((sql, group + 1)))
    }

    /// Ids that are compared with those of other rows: they are of one machine.
    fn of_rows(
        &self,
        nodes: &[Node],
        at: usize,
        word: &str,
        out: &mut String,
    ) -> Result<Option<usize>> {
        if !["id", "uid"].contains(&word) {
            return Ok(None);
        }
        let Some(next) = skip_space(nodes, at + 1) else {
            return Ok(None);
        };
        let not = nodes[next].is_word("NOT");
        let is_in = if not {
            skip_space(nodes, next + 1)
        } else {
            Some(next)
        };
        let Some(is_in) = is_in.filter(|&at| nodes[at].is_word("IN")) else {
            return Ok(None);
        };
        let Some(group) = skip_space(nodes, is_in + 1) else {
            return Ok(None);
        };
        let Node::Group(select) = &nodes[group] else {
            return Ok(None);
        };
        let Some(column) = skip_space(select, 1) else {
            return Ok(None);
        };
        if !select[0].is_word("SELECT") || !select[column].is_word(word) {
            return Ok(None);
        }
        let not = if not { "NOT " } else { "" };
        let rest = self.translate(&select[column + 1..])?;
        let selected = self.engine.selected(&format!("history, {word}"));
        out.push_str(&format!(
            "({word} IS NOT NULL AND (history, {word}) {not}IN (SELECT {selected}{rest}))"
        ));
        Ok(Some(group + 1))
    }

    /// SQLite's IS compares any values, and NULL with NULL.
    fn is(&self, nodes: &[Node], at: usize, out: &mut String) -> usize {
        let Some(next) = skip_space(nodes, at + 1) else {
            out.push_str("IS");
            return at + 1;
        };
        let not = nodes[next].is_word("NOT");
        let operand = if not {
            skip_space(nodes, next + 1)
        } else {
            Some(next)
        };
        if operand.is_some_and(|at| nodes[at].is_word("NULL")) {
            out.push_str("IS");
            return at + 1;
        }
        out.push_str(if not {
            "IS DISTINCT FROM"
        } else {
            "IS NOT DISTINCT FROM"
        });
        if not { next + 1 } else { at + 1 }
    }

    /// SQLite sorts NULL before everything else.
    fn order(&self, nodes: &[Node], at: usize, out: &mut String) -> Result<usize> {
        let ends = |node: &Node| {
            ["LIMIT", "ROWS", "UNION"]
                .iter()
                .any(|word| node.is_word(word))
        };
        let end = nodes[at..]
            .iter()
            .position(ends)
            .map_or(nodes.len(), |n| at + n);
        let by = skip_space(nodes, at + 1).unwrap_or(end);
        out.push_str("ORDER BY");
        let keys = nodes.get(by + 1..end).unwrap_or_default();
        for (n, key) in keys.split(|node| node.is_symbol(",")).enumerate() {
            if n > 0 {
                out.push(',');
            }
            let sql = self.order_key(&nodes[..at], key)?;
            let said = |word: &str| key.iter().any(|node| node.is_word(word));
            // before what is between this clause and the next
            let trimmed = sql.trim_end_matches([' ', '\n', ';']);
            out.push_str(trimmed);
            if !said("DESC") && !said("NULLS") {
                out.push_str(" NULLS FIRST");
            }
            out.push_str(&sql[trimmed.len()..]);
        }
        Ok(end)
    }

    /// A key of ORDER BY. Where a column of the answer is called as one of the rows, ClickHouse would
    /// take that of the rows, and Spark that of the answer, also within a sum.
    fn order_key(&self, before: &[Node], key: &[Node]) -> Result<String> {
        let first = skip_space(key, 0).unwrap_or(0);
        match (self.engine, key.get(first..).unwrap_or_default()) {
            (Engine::ClickHouse, [Node::Word(name), rest @ ..])
                if !rest
                    .first()
                    .is_some_and(|node| matches!(node, Node::Group(_))) =>
            {
                let sql = match column_number(before, name) {
                    Some(number) => format!("{number}{}", self.translate(rest)?),
                    None => self.translate(&key[first..])?,
                };
                Ok(format!("{}{sql}", self.translate(&key[..first])?))
            }
            (Engine::Spark, [Node::Word(sum), Node::Group(of), rest @ ..])
                if sum == "sum" && names_a_column(of, before) =>
            {
                let space = self.translate(&key[..first])?;
                let (of, rest) = (self.translate(of)?, self.translate(rest)?);
                Ok(format!("{space}({of}){rest}"))
            }
            _ => self.translate(key),
        }
    }

    fn call(&self, name: &str, group: &[Node]) -> Result<String> {
        let args = Vec::from_iter(group.split(|node| node.is_symbol(",")));
        let all = args.iter().map(|arg| self.translate(arg));
        let all = all.collect::<Result<Vec<_>>>()?;
        let trimmed = |n: usize| all.get(n).map_or("", |arg| arg.trim());
        Ok(match (name, args.as_slice()) {
            ("likelihood", [_, _]) => format!("({})", trimmed(0)),
            ("coalesce", [first, last]) if is_condition(first) => {
                let last = match last
                    .iter()
                    .any(|node| *node == Node::Number("0".to_owned()))
                {
                    true => "FALSE",
                    false => trimmed(1),
                };
                format!("coalesce({}, {last})", trimmed(0))
            }
            ("coalesce", [[Node::Word(number)], [.., Node::Text(empty)]])
                if number.ends_with("_ts") && empty.is_empty() =>
            {
                format!("coalesce({}, '')", self.engine.as_text(number))
            }
            ("coalesce", _) => format!("coalesce({})", all.join(",")),
            ("min" | "max", [[Node::Word(time)]]) if time == "time" && self.has_ts => {
                self.engine.iso(&format!("{name}(ts)"))
            }
            ("min", [_, _]) => format!("least({})", all.join(",")),
            ("sum" | "max" | "min", [arg]) if is_condition(arg) => {
                format!("{name}({})", self.engine.as_number(trimmed(0)))
            }
            // conditions of the rows that are counted
            ("sum", [[Node::Word(failed)]]) if failed == "failed" => {
                format!("sum({})", self.engine.as_number(failed))
            }
            ("count", [[Node::Word(distinct), Node::Space(_), Node::Word(id)]])
                if distinct == "DISTINCT" && id == "id" =>
            {
                "count(DISTINCT (history, id))".to_owned()
            }
            ("substr", _) => format!("substr({})", all.join(",")),
            ("json_array", _) => self.engine.array(&all),
            ("group_concat", [_]) => self.engine.joined(trimmed(0)),
            ("unixepoch", [_]) => self.engine.seconds(trimmed(0)),
            ("round", [_]) => self.engine.rounded(trimmed(0)),
            ("printf", [[Node::Text(format)], _]) => self.printf(format, trimmed(1))?,
            ("strftime", [[Node::Text(format)], _, _]) => {
                self.engine.format_time(format, trimmed(1))
            }
            // the Monday of that day's week
            ("strftime", [[Node::Text(format)], _, _, _, _]) => {
                self.engine.format_week(format, trimmed(1))
            }
            ("label", [[Node::Text(key)]]) => format!("labels[{}]", self.engine.text(key)),
            ("CAST", [arg]) => self.cast(arg)?,
            (name, _) if COMMON.contains(&name) => format!("{name}({})", all.join(",")),
            _ => bail!(
                "this question can't be put to {}: 'egrets query' answers it on each machine",
                self.engine.name()
            ),
        })
    }

    /// A number with zeros in front of it, between texts.
    fn printf(&self, format: &str, number: &str) -> Result<String> {
        let parts = format.split_once("%0");
        let parts = parts.and_then(|(before, rest)| {
            let (digits, after) = rest.split_once('d')?;
            Some((before, digits.parse().ok()?, after))
        });
        let Some((before, digits, after)) = parts else {
            bail!("the format {format} can't be put to {}", self.engine.name());
        };
        let mut all = vec![self.engine.padded(number, digits)];
        if !before.is_empty() {
            all.insert(0, self.engine.text(before));
        }
        if !after.is_empty() {
            all.push(self.engine.text(after));
        }
        Ok(all.join(" || "))
    }

    /// SQLite's integers have 64 bits, and it cuts what is behind the point.
    fn cast(&self, arg: &[Node]) -> Result<String> {
        let Some(by) = arg.iter().rposition(|node| node.is_word("AS")) else {
            bail!("a CAST without a type");
        };
        let value = match &arg[..by] {
            [Node::Blob(hex), ..] => return Ok(self.engine.bytes_as_text(hex)),
            value => self.translate(value)?,
        };
        let is_real = is_real(&arg[..by]);
        Ok(self.engine.as_integer(value.trim(), is_real))
    }
}

/// Which column of the answer an expression of the last SELECT before is called, from 1.
fn column_number(before: &[Node], name: &str) -> Option<usize> {
    let select = before.iter().rposition(|node| node.is_word("SELECT"))?;
    let list = &before[select + 1..];
    let end = list.iter().position(|node| node.is_word("FROM"))?;
    let mut columns = list[..end].split(|node| node.is_symbol(",")).enumerate();
    let (at, _) = columns.find(|(_, column)| {
        let mut words = column.iter().rev().filter(|node| !node.is_space());
        let is_called = words.next().is_some_and(|last| last.is_word(name));
        is_called && words.next().is_some_and(|word| word.is_word("AS"))
    })?;
    let has_all = list[..end].iter().any(|node| node.is_symbol("*"));
    (!has_all).then_some(at + 1)
}

/// Whether any of these tokens is what a column of the answer is called.
fn names_a_column(nodes: &[Node], before: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Word(word) => column_number(before, word).is_some(),
        Node::Group(group) => names_a_column(group, before),
        _ => false,
    })
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// The first token from `at` on that is not blank.
fn skip_space(nodes: &[Node], at: usize) -> Option<usize> {
    let rest = nodes.get(at..)?;
    rest.iter()
        .position(|node| !node.is_space())
        .map(|n| at + n)
}

/// Whether tokens are a condition, and no value.
fn is_condition(nodes: &[Node]) -> bool {
    let bare = nodes.iter().filter(|node| !node.is_space());
    match Vec::from_iter(bare)[..] {
        [Node::Group(group)] => is_condition(group),
        [Node::Word(call), Node::Group(_)] if call == "likelihood" => true,
        [Node::Word(case), ..] if case == "CASE" => false,
        ref all => all.iter().any(|node| match node {
            Node::Word(word) => COMPARING.contains(&word.as_str()),
            Node::Symbol(symbol) => COMPARISONS.contains(&symbol.as_str()),
            _ => false,
        }),
    }
}

/// Whether tokens are a number with a fraction.
fn is_real(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Word(word) => word == "avg" || word == "mean",
        Node::Group(group) => is_real(group),
        _ => false,
    })
}

fn is_real_division(nodes: &[Node], at: usize) -> bool {
    let before = nodes[..at].iter().rev().filter(|node| !node.is_space());
    let mut before = before.take(2);
    let real = match (before.next(), before.next()) {
        (Some(Node::Group(_)), Some(call)) => call.is_word("avg"),
        // "sum(a) * 1e2 / sum(b)": 100.0 is a decimal number in Spark
        (Some(Node::Number(number)), _) => number.contains(['.', 'e']),
        (Some(word), _) => word.is_word("mean"),
        _ => false,
    };
    real || skip_space(nodes, at + 1).is_some_and(|at| nodes[at].is_word("mean"))
}

/// A condition on `ts`, to which one on the partition is added, so that an engine opens no file
/// of another day.
fn time_bound(nodes: &[Node], at: usize, out: &mut String) -> Option<usize> {
    let (prefix, ts) = match (nodes.get(at), nodes.get(at + 1), nodes.get(at + 2)) {
        (Some(Node::Word(table)), Some(dot), Some(column))
            if dot.is_symbol(".") && column.is_word("ts") =>
        {
            (format!("{table}."), at + 2)
        }
        (Some(column), ..) if column.is_word("ts") => (String::new(), at),
        _ => return None,
    };
    let operator = skip_space(nodes, ts + 1);
    let bound = operator.and_then(|at| skip_space(nodes, at + 1));
    let (Some(operator), Some(bound)) = (operator, bound) else {
        return None;
    };
    let (Node::Symbol(symbol), Node::Number(number)) = (&nodes[operator], &nodes[bound]) else {
        return None;
    };
    let Ok(ns) = number.parse::<i64>() else {
        return None;
    };
    let (day, bounds) = match symbol.as_str() {
        ">=" | ">" => (ns, ">="),
        "<" => (ns.saturating_sub(1), "<="),
        "<=" => (ns, "<="),
        _ => return None,
    };
    let day = DateTime::from_timestamp_nanos(day).format("%Y-%m-%d");
    out.push_str(&format!(
        "({prefix}ts {symbol} {ns} AND {prefix}day {bounds} DATE '{day}')"
    ));
    Some(bound + 1)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::*;
    use crate::query::fixture::{NOW, parsed};
    use crate::query::parse_of_machines;

    fn of(question: &Question) -> Result<String> {
        let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
        let span = (question.since, question.until);
        let zone = Zone::over(&now, question.since, question.until);
        dataset_statement(Engine::DuckDb, question, span, &zone)
    }

    #[test]
    fn a_span_opens_only_its_days_and_ids_are_of_a_machine() {
        let now = DateTime::<Utc>::from_timestamp_nanos(NOW);
        let question = "which machines hit bad.example between 9:00 and 10:30";
        let sql = of(&parse_of_machines(question, &now).unwrap()).unwrap();
        assert!(
            sql.contains("AND day >= DATE '2026-11-23')")
                && sql.contains("AND day <= DATE '2026-11-23')"),
            "{sql}"
        );
        assert!(sql.contains("GROUP BY machine"), "{sql}");
        let sql = of(&parsed("which names were resolved but never contacted")).unwrap();
        assert!(sql.contains("count(DISTINCT (history, id))"), "{sql}");
        let sql = of(&parsed("what did the users that hit x.org resolve")).unwrap();
        assert!(
            sql.contains("(history, uid) IN (SELECT (history, uid)"),
            "{sql}"
        );
    }

    proptest! {
        #[test]
        fn no_name_ends_its_literal(name in "\\PC{1,16}|['\\\\(x\\n]{1,8}") {
            let mut question = parsed("which processes hit x.org");
            question.predicates = vec![Predicate::By(Subject::Container(name.clone()))];
            let sql = of(&question).unwrap();
            let mut open = vec![parse(&sql)];
            let mut literals = Vec::new();
            while let Some(nodes) = open.pop() {
                for node in nodes {
                    match node {
                        Node::Group(group) => open.push(group),
                        Node::Text(text) => literals.push(text),
                        _ => {}
                    }
                }
            }
            let hex = name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
            prop_assert!(literals.contains(&name) || literals.contains(&hex), "{}", sql);
        }
    }
}
