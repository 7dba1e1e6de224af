//! Whether the recorder itself gives cause for an alert: it has stopped, falls behind, or loses
//! events.

use std::time::Duration;

use anyhow::Result;
use rusqlite::{Connection as Db, OptionalExtension};

use super::Alert;
use crate::query::lost_since;

/// How far the history may be behind the present.
const MAX_LAG: Duration = Duration::from_secs(30);

/// What was wrong when it was last looked at.
#[derive(Debug, Default)]
pub struct Health {
    stopped: bool,
    behind: bool,
    /// It was late at the last look. A machine that was asleep is so once.
    late: bool,
    /// Events that were lost since the start.
    lost: i64,
}

impl Health {
    /// What has become wrong, or right again, since the last time. `runs` is whether a recorder
    /// has the file; only what happened after `start_ts` counts.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn check(&mut self, db: &Db, runs: bool, start_ts: i64, now: i64) -> Result<Vec<Alert>> {
        let mut alerts = Vec::new();
        let mut say = |why: String| alerts.push(Alert::without_row("recorder", &why));
        if self.stopped == runs {
            self.stopped = !runs;
            say(match runs {
                true => "a recorder runs again".to_owned(),
                false => "no recorder runs".to_owned(),
            });
        }
        let sql = "SELECT seen_ts FROM recordings ORDER BY id DESC LIMIT 1";
        let seen: Option<i64> = db.query_row(sql, [], |row| row.get(0)).optional()?;
        let lag = seen.map_or(0, |seen| (now - seen).max(0));
        let late = runs && lag > MAX_LAG.as_nanos() as i64;
        let behind = late && (self.behind || self.late);
        self.late = late;
        if self.behind != behind && runs {
            self.behind = behind;
            say(match behind {
                true => format!("the recorder is {} s behind", lag / 1_000_000_000),
                false => "the recorder has caught up".to_owned(),
            });
        }
        let lost = lost_since(db, start_ts)?;
        if lost > self.lost {
            say(format!("events were lost: {}", lost - self.lost));
        }
        self.lost = lost;
        Ok(alerts)
    }
}
