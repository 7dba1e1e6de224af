//! A statement of this room as tokens, with what is in parentheses below them: enough to say it in
//! another dialect, since the statements are our own.

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Blanks and ends of lines.
    Space(String),
    /// A keyword or a name.
    Word(String),
    Number(String),
    /// A literal, without its quotes.
    Text(String),
    /// A literal in hexadecimal.
    Blob(String),
    Symbol(String),
    /// What is in parentheses.
    Group(Vec<Node>),
}

impl Node {
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Node::Word(it) if it.eq_ignore_ascii_case(word))
    }

    pub fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self, Node::Symbol(it) if it == symbol)
    }

    pub fn is_space(&self) -> bool {
        matches!(self, Node::Space(_))
    }
}

/// The tokens of a statement.
pub fn parse(sql: &str) -> Vec<Node> {
    // What is open, outermost first; the last group that was closed is in the one before.
    let mut open = vec![Vec::new()];
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (node, length) = match first {
            '(' => {
                open.push(Vec::new());
                rest = &rest[1..];
                continue;
            }
            ')' => {
                rest = &rest[1..];
                // The outermost level has no parenthesis.
                if open.len() > 1
                    && let Some(group) = open.pop()
                    && let Some(outer) = open.last_mut()
                {
                    outer.push(Node::Group(group));
                }
                continue;
            }
            '\'' => {
                let (text, length) = quoted(rest);
                (Node::Text(text), length)
            }
            'x' if rest[1..].starts_with('\'') => {
                let (hex, length) = quoted(&rest[1..]);
                (Node::Blob(hex), length + 1)
            }
            first => {
                let (kind, length) = token(rest, first);
                (kind(rest[..length].to_owned()), length)
            }
        };
        if let Some(inner) = open.last_mut() {
            inner.push(node);
        }
        rest = &rest[length..];
    }
    open.into_iter().next().unwrap_or_default()
}

/// What a token without quotes is, and its length.
fn token(rest: &str, first: char) -> (fn(String) -> Node, usize) {
    let while_ = |of: fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
    match first {
        c if c.is_whitespace() => (Node::Space, while_(char::is_whitespace)),
        c if c.is_ascii_digit() => (
            Node::Number,
            while_(|c| c.is_ascii_alphanumeric() || c == '.'),
        ),
        c if c.is_alphabetic() || c == '_' => {
            (Node::Word, while_(|c| c.is_alphanumeric() || c == '_'))
        }
        c => {
            let double = ["<>", "<=", ">=", "||"];
            let is_double = double.iter().any(|symbol| rest.starts_with(symbol));
            (Node::Symbol, if is_double { 2 } else { c.len_utf8() })
        }
    }
}

/// The text between quotes, which are doubled within it, and the length with them.
fn quoted(rest: &str) -> (String, usize) {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != '\'' {
            text.push(c);
        } else if chars.next_if(|&(_, c)| c == '\'').is_some() {
            text.push('\'');
        } else {
            return (text, at + 1);
        }
    }
    (text, rest.len())
}
