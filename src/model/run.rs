//! From the numbers of one run to those of the history.

/// What connects a run to the history that it is recorded into. Attribution numbers
/// connections and lookups from 1 and counts time from boot; sinks turn both into what users
/// see, so that the live log and the history agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The id of the connection with number 1.
    pub first_connection: i64,
    /// The id of the lookup with number 1.
    pub first_lookup: i64,
    /// When the host booted, nanoseconds since 1970. One value for the whole run, whatever
    /// happens to the clock, so that all rows of a process have the same start.
    pub boot_ts: i64,
}

impl Run {
    /// A run that is not recorded.
    pub fn new(boot_ts: i64) -> Run {
        Run {
            first_connection: 1,
            first_lookup: 1,
            boot_ts,
        }
    }

    /// The id of a [`Connection::number`](super::Connection::number).
    pub fn connection_id(&self, number: u64) -> i64 {
        nth(self.first_connection, number)
    }

    /// The id of a [`Lookup::number`](super::Lookup::number).
    pub fn lookup_id(&self, number: u64) -> i64 {
        nth(self.first_lookup, number)
    }

    /// When a process started, nanoseconds since 1970, from its start in nanoseconds since
    /// boot. To the clock tick, which is as precise as /proc is.
    pub fn start_ts(&self, start_ns: u64) -> i64 {
        ((start_ns - start_ns % tick_ns()) as i64).saturating_add(self.boot_ts)
    }
}

fn nth(first: i64, number: u64) -> i64 {
    first.saturating_add_unsigned(number).saturating_sub(1)
}

/// Nanoseconds of a clock tick, the unit of start times in /proc (proc_pid_stat(5)).
pub fn tick_ns() -> u64 {
    (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_continue_the_ids_of_the_history() {
        let run = Run {
            first_connection: 41,
            first_lookup: 7,
            boot_ts: 1_000,
        };
        assert_eq!((run.connection_id(1), run.connection_id(2)), (41, 42));
        assert_eq!(run.lookup_id(1), 7);
        let tick = tick_ns();
        assert_eq!(run.start_ts(3 * tick + 1), 3 * tick as i64 + 1_000);
    }
}
