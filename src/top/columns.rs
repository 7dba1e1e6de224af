//! The columns of each view: what they are called, how wide they are, and which of them a narrow
//! screen leaves out.

/// What the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Processes,
    Hosts,
    Containers,
    Connections,
}

impl Tab {
    pub const ALL: [Tab; 4] = [
        Tab::Processes,
        Tab::Hosts,
        Tab::Containers,
        Tab::Connections,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Tab::Processes => "Processes",
            Tab::Hosts => "Hosts",
            Tab::Containers => "Containers",
            Tab::Connections => "Connections",
        }
    }

    /// In their order on the screen.
    pub fn columns(self) -> &'static [Column] {
        use Column::{
            Address, Age, Connections, Container, Failed, From, Host, Id, Image, Open, Peers, Pid,
            Port, Process, Received, ReceivedRate, Sent, SentRate, State, User,
        };
        match self {
            Tab::Processes => &[
                Process,
                Pid,
                User,
                Container,
                Peers,
                SentRate,
                ReceivedRate,
                Sent,
                Received,
                Open,
                Connections,
                Failed,
            ],
            Tab::Hosts => &[
                Host,
                Address,
                Port,
                From,
                SentRate,
                ReceivedRate,
                Sent,
                Received,
                Open,
                Connections,
                Failed,
            ],
            Tab::Containers => &[
                Container,
                Image,
                From,
                Peers,
                SentRate,
                ReceivedRate,
                Sent,
                Received,
                Open,
                Connections,
                Failed,
            ],
            Tab::Connections => &[
                Process,
                Pid,
                User,
                Container,
                Host,
                Address,
                Port,
                State,
                Age,
                SentRate,
                ReceivedRate,
                Sent,
                Received,
                Id,
            ],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    Process,
    Pid,
    User,
    Container,
    Image,
    /// The hosts that it talks to.
    Peers,
    Host,
    Address,
    Port,
    /// The programs that talk to it.
    From,
    State,
    Age,
    SentRate,
    ReceivedRate,
    Sent,
    Received,
    Open,
    Connections,
    Failed,
    Id,
}

impl Column {
    pub fn title(self) -> &'static str {
        match self {
            Column::Process => "PROCESS",
            Column::Pid => "PID",
            Column::User => "USER",
            Column::Container => "CONTAINER",
            Column::Image => "IMAGE",
            Column::Peers => "TALKS TO",
            Column::Host => "HOST",
            Column::Address => "ADDRESS",
            Column::Port => "PORT",
            Column::From => "FROM",
            Column::State => "STATE",
            Column::Age => "AGE",
            Column::SentRate => "SENT/s",
            Column::ReceivedRate => "RECV/s",
            Column::Sent => "SENT",
            Column::Received => "RECV",
            Column::Open => "OPEN",
            Column::Connections => "CONNS",
            Column::Failed => "FAILED",
            Column::Id => "ID",
        }
    }

    /// Whether it is a number: at the right, and the greatest first.
    pub fn is_number(self) -> bool {
        matches!(
            self,
            Column::Age
                | Column::SentRate
                | Column::ReceivedRate
                | Column::Sent
                | Column::Received
                | Column::Open
                | Column::Connections
                | Column::Failed
                | Column::Id
        )
    }

    /// Its least and its greatest width.
    fn widths(self) -> (usize, usize) {
        match self {
            Column::Process => (11, 28),
            Column::Pid => (7, 9),
            Column::User => (8, 14),
            Column::Container => (13, 30),
            Column::Image => (14, 40),
            Column::Peers => (18, 70),
            Column::Host => (16, 70),
            Column::Address => (15, 39),
            Column::Port => (7, 12),
            Column::From => (12, 50),
            Column::State => (7, 11),
            Column::Age => (6, 7),
            Column::Id => (7, 12),
            Column::Open | Column::Sent | Column::Received => (5, 5),
            _ => (6, 6),
        }
    }

    /// Those with the highest numbers are left out first.
    fn rank(self) -> u8 {
        match self {
            Column::Container | Column::User => 3,
            Column::Failed | Column::Connections => 4,
            Column::Image => 5,
            Column::Address => 6,
            Column::Id => 7,
            Column::Age | Column::Open => 2,
            Column::Pid | Column::Port | Column::State => 1,
            _ => 0,
        }
    }
}

/// From this rank on, columns only take what others leave.
const OPTIONAL: u8 = 3;
/// How much a text gets before those.
const COMFORTABLE: usize = 26;

/// A column on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub column: Column,
    pub x: usize,
    pub width: usize,
}

/// The columns of a view that fit a width. `wanted` is the width of what a column has to show.
pub fn place(tab: Tab, width: usize, wanted: impl Fn(Column) -> usize) -> Vec<Placed> {
    // What names the lines of a view stays.
    let first = tab.columns().first().copied();
    let rank = |column: Column| match Some(column) == first {
        true => 0,
        false => column.rank(),
    };
    let mut columns = tab.columns().to_vec();
    // Who and whom come before what is good to know.
    let room = |column: Column, comfortable: bool| match column.is_number() {
        false if comfortable => {
            wanted(column).clamp(column.widths().0, COMFORTABLE.max(column.widths().0))
        }
        _ => column.widths().0,
    };
    let sum = |columns: &[Column], comfortable: bool| {
        let widths = columns.iter().map(|c| room(*c, comfortable));
        widths.sum::<usize>() + columns.len().saturating_sub(1)
    };
    let needed = |columns: &[Column]| sum(columns, false);
    let too_wide = |columns: &[Column]| {
        let optional = columns.iter().any(|c| rank(*c) >= OPTIONAL);
        sum(columns, optional) > width
    };
    while too_wide(&columns) {
        let Some(out) = columns.iter().copied().max_by_key(|c| rank(*c)) else {
            break;
        };
        if rank(out) == 0 && columns.len() <= 2 {
            break;
        }
        columns.retain(|c| *c != out);
    }
    let mut left = width.saturating_sub(needed(&columns));
    let mut widths = Vec::from_iter(columns.iter().map(|c| c.widths().0.min(width)));
    // One character each in turn, so that no column takes all.
    while left > 0 {
        let before = left;
        for (column, width) in columns.iter().zip(&mut widths) {
            if left > 0 && *width < wanted(*column).min(column.widths().1) {
                *width += 1;
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    // The rest keeps the numbers at the right edge.
    let whom = |c: &Column| matches!(c, Column::Peers | Column::Host | Column::From);
    let widest = columns
        .iter()
        .rposition(whom)
        .or_else(|| columns.iter().rposition(|c| !c.is_number()));
    if let Some(width) = widest.and_then(|at| widths.get_mut(at)) {
        *width += left;
    }
    let mut x = 0;
    let mut placed = Vec::new();
    for (column, width) in columns.into_iter().zip(widths) {
        placed.push(Placed { column, x, width });
        x += width + 1;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_holds_who_talks_to_whom() {
        for tab in Tab::ALL {
            for width in [40, 80, 120, 200, 300] {
                let placed = place(tab, width, |_| 30);
                let last = placed.last().unwrap();
                assert!(last.x + last.width <= width, "{tab:?} {width}: {placed:?}");
                if width >= 80 {
                    let has = |c: Column| placed.iter().any(|p| p.column == c);
                    assert!(has(Column::SentRate) && has(Column::ReceivedRate));
                    assert!(has(Column::Sent) && has(Column::Received));
                    let who = [Column::Process, Column::From, Column::Container];
                    assert!(who.into_iter().any(has), "{tab:?} {width}: {placed:?}");
                    let whom = [Column::Peers, Column::Host];
                    assert!(whom.into_iter().any(has), "{tab:?} {width}: {placed:?}");
                }
            }
        }
        let all = place(Tab::Processes, 200, |_| 10);
        assert_eq!(all.len(), Tab::Processes.columns().len());
    }
}
