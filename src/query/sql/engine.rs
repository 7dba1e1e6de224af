//! Engines that read a dataset, and how each spells what they all can.

/// An engine that reads a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    DuckDb,
    ClickHouse,
    Spark,
}

impl Engine {
    pub const ALL: [Engine; 3] = [Engine::DuckDb, Engine::ClickHouse, Engine::Spark];

    pub fn name(self) -> &'static str {
        match self {
            Engine::DuckDb => "DuckDB",
            Engine::ClickHouse => "ClickHouse",
            Engine::Spark => "Spark",
        }
    }

    /// A literal.
    pub fn text(self, text: &str) -> String {
        match self {
            Engine::DuckDb => format!("'{}'", text.replace('\'', "''")),
            // a backslash escapes what follows it
            Engine::ClickHouse | Engine::Spark => {
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
            }
        }
    }

    /// A name that may be a keyword.
    pub fn name_of_column(self, name: &str) -> String {
        match self {
            Engine::DuckDb => format!("\"{name}\""),
            Engine::ClickHouse | Engine::Spark => format!("`{name}`"),
        }
    }

    /// The operator that divides integers.
    pub fn divide(self) -> &'static str {
        match self {
            Engine::DuckDb => "//",
            Engine::ClickHouse | Engine::Spark => "DIV",
        }
    }

    pub fn as_text(self, value: &str) -> String {
        match self {
            Engine::DuckDb => format!("CAST({value} AS VARCHAR)"),
            Engine::ClickHouse => format!("toString({value})"),
            Engine::Spark => format!("CAST({value} AS STRING)"),
        }
    }

    /// A number as an integer of 64 bits, without what is behind the point.
    pub fn as_integer(self, value: &str, is_real: bool) -> String {
        match (self, is_real) {
            (Engine::DuckDb, true) => format!("CAST(trunc({value}) AS BIGINT)"),
            (Engine::DuckDb | Engine::Spark, _) => format!("CAST({value} AS BIGINT)"),
            (Engine::ClickHouse, _) => format!("toInt64({value})"),
        }
    }

    /// A condition as 1 or 0.
    pub fn as_number(self, condition: &str) -> String {
        match self {
            Engine::DuckDb | Engine::Spark => format!("CAST(({condition}) AS INTEGER)"),
            Engine::ClickHouse => format!("toInt64({condition})"),
        }
    }

    /// A number with zeros in front of it.
    pub fn padded(self, number: &str, digits: usize) -> String {
        format!("lpad({}, {digits}, '0')", self.as_text(number))
    }

    /// A column of nanoseconds since 1970 as the text that the columns `time` of the views are.
    pub fn iso(self, ns: &str) -> String {
        let divide = self.divide();
        let millisecond = self.padded(&format!("{ns} {divide} 1000000 % 1000"), 3);
        let seconds = format!("{ns} {divide} 1000000000");
        let seconds = self.format_time("%Y-%m-%dT%H:%M:%S", &seconds);
        format!("{seconds} || '.' || {millisecond} || 'Z'")
    }

    /// Seconds since 1970 in a format of strftime(3).
    pub fn format_time(self, format: &str, seconds: &str) -> String {
        self.formatted(format, &self.timestamp(seconds))
    }

    /// The Monday of the week of seconds since 1970, in a format of strftime(3).
    pub fn format_week(self, format: &str, seconds: &str) -> String {
        let time = self.timestamp(seconds);
        let monday = match self {
            Engine::DuckDb | Engine::Spark => format!("date_trunc('week', {time})"),
            Engine::ClickHouse => format!("toMonday({time})"),
        };
        self.formatted(format, &monday)
    }

    /// Seconds since 1970 as a time of UTC, whatever the session's zone.
    fn timestamp(self, seconds: &str) -> String {
        match self {
            Engine::DuckDb => format!("make_timestamp(({seconds}) * 1000000)"),
            Engine::ClickHouse => format!("toDateTime({seconds}, 'UTC')"),
            Engine::Spark => {
                format!("to_utc_timestamp(timestamp_seconds({seconds}), current_timezone())")
            }
        }
    }

    fn formatted(self, format: &str, time: &str) -> String {
        match self {
            Engine::DuckDb => format!("strftime({time}, {})", self.text(format)),
            // %M is the month's name there
            Engine::ClickHouse => {
                let format = self.text(&format.replace("%M", "%i"));
                format!("formatDateTime({time}, {format})")
            }
            Engine::Spark => format!("date_format({time}, {})", self.text(&of_java(format))),
        }
    }

    /// What a subquery selects that several columns are compared with.
    pub fn selected(self, columns: &str) -> String {
        match self {
            Engine::DuckDb => format!("({columns})"),
            Engine::ClickHouse | Engine::Spark => columns.to_owned(),
        }
    }

    /// The texts of many rows, separated by commas.
    pub fn joined(self, argument: &str) -> String {
        match self {
            Engine::DuckDb => format!("string_agg({argument}, ',')"),
            Engine::ClickHouse => {
                format!("nullIf(arrayStringConcat(groupArray({argument}), ','), '')")
            }
            Engine::Spark => format!("nullif(array_join(collect_list({argument}), ','), '')"),
        }
    }

    /// Values as one text, which is the same if all of them are.
    pub fn array(self, values: &[String]) -> String {
        let values = values.join(",");
        match self {
            Engine::DuckDb => format!("json_array({values})"),
            Engine::ClickHouse => format!("toJSONString(tuple({values}))"),
            Engine::Spark => format!("to_json(struct({values}))"),
        }
    }

    /// A time of the views, which is text, as seconds since 1970.
    pub fn seconds(self, time: &str) -> String {
        match self {
            Engine::DuckDb => format!("epoch(CAST({time} AS TIMESTAMPTZ))"),
            Engine::ClickHouse => {
                format!("toUnixTimestamp(parseDateTimeBestEffort({time}, 'UTC'))")
            }
            Engine::Spark => format!("unix_timestamp(CAST({time} AS TIMESTAMP))"),
        }
    }

    /// Bytes as text.
    pub fn bytes_as_text(self, hex: &str) -> String {
        match self {
            Engine::DuckDb => format!("decode(unhex('{hex}'))"),
            Engine::ClickHouse => format!("unhex('{hex}')"),
            Engine::Spark => format!("decode(unhex('{hex}'), 'UTF-8')"),
        }
    }

    /// Rounded half away from zero, as SQLite does.
    pub fn rounded(self, value: &str) -> String {
        match self {
            Engine::DuckDb | Engine::Spark => format!("round({value})"),
            Engine::ClickHouse => format!("floor({value} + 0.5)"),
        }
    }

    /// A list of texts, separated by commas.
    pub fn list_as_text(self, list: &str) -> String {
        match self {
            Engine::DuckDb => format!("array_to_string({list}, ',')"),
            // its lists can't be NULL
            Engine::ClickHouse => format!("nullIf(arrayStringConcat({list}, ','), '')"),
            Engine::Spark => format!("array_join({list}, ',')"),
        }
    }

    /// Whether LIKE needs a clause for the backslash that escapes.
    pub fn names_escape(self) -> bool {
        self == Engine::DuckDb
    }

    /// What ends a statement.
    pub fn settings(self) -> &'static str {
        match self {
            Engine::DuckDb | Engine::Spark => "",
            // a name within an expression is a column first, as elsewhere
            Engine::ClickHouse => "\nSETTINGS prefer_column_name_to_alias = 1",
        }
    }
}

/// A format of strftime(3) as Java has it.
fn of_java(format: &str) -> String {
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => out.push_str(match rest.next() {
                Some('Y') => "yyyy",
                Some('m') => "MM",
                Some('d') => "dd",
                Some('H') => "HH",
                Some('M') => "mm",
                Some('S') => "ss",
                _ => "",
            }),
            c if c.is_ascii_alphabetic() => out.push_str(&format!("'{c}'")),
            c => out.push(c),
        }
    }
    out
}
