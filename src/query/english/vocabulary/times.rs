//! Times, and spans to split an answer by.

use super::Words;

pub const PAST: Words = &["past", "last"];
pub const NEW: Words = &["new", "unseen"];
pub const SEEN: Words = &["seen"];
pub const SINCE: Words = &["since", "after"];
pub const UNTIL: Words = &["until", "till", "before"];
pub const BETWEEN: Words = &["between"];
pub const TODAY: Words = &["today"];
pub const YESTERDAY: Words = &["yesterday"];
pub const THIS: Words = &["this"];
/// "from 9:00 to 10:30"
pub const FROM: Words = &["from"];
/// "from Monday onwards"
pub const ONWARDS: Words = &["onward", "onwards", "forward", "forwards"];
pub const TO: Words = &["to", "until", "till"];
/// Times of day: "at 3am".
pub const AT: Words = &["at"];
pub const AROUND: Words = &["around", "about", "circa", "near"];
pub const NOW: Words = &["now", "currently", "presently"];
/// "right before 21:19": a minute.
pub const RIGHT: Words = &["right", "just", "shortly", "immediately"];
pub const LAST_START: Words = &["boot", "reboot", "bootup", "startup", "restart"];
pub const PER: Words = &["per", "each", "every"];
pub const MINUTE: Words = &["minute", "minutes"];
pub const HOUR: Words = &["hour", "hours"];
pub const DAY: Words = &["day", "days"];
pub const WEEK: Words = &["week", "weeks"];
pub const MONTH: Words = &["month", "months"];
/// What idioms make of "the busiest hour", behind "connections per hour".
pub const BUSIEST_FIRST: Words = &["busiest-first"];
pub const HOURLY: Words = &["hourly"];
pub const DAILY: Words = &["daily"];
pub const WEEKLY: Words = &["weekly"];
pub const MONTHLY: Words = &["monthly"];
/// Days of the week, as times.
pub const PARTS_OF_DAYS: Words = &["morning", "afternoon", "evening", "night"];
pub const DAYS: Words = &[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
