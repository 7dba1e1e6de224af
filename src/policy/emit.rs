//! Policies as text, for `learn` and `import`.

use std::fmt::Write;

/// Values that are listed in one line.
const MAX_IN_LINE: usize = 4;

/// A value as YAML has it: in double quotes where it needs them.
pub fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-+@() ".contains(c);
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/'))
        && text.chars().all(plain)
        && !text.ends_with(' ')
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "null" | "true" | "false"
        );
    match is_plain {
        true => text.to_owned(),
        // a JSON string is a YAML one
        false => serde_json::Value::from(text).to_string(),
    }
}

pub fn list<T: AsRef<str>>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(|value| scalar(value.as_ref())).collect();
    format!("[{}]", values.join(", "))
}

/// A rule to be written.
#[derive(Debug, Clone, Default)]
pub struct RuleText {
    pub name: String,
    /// The mapping in braces; empty for every process.
    pub who: String,
    pub to: Vec<String>,
    pub ports: Vec<String>,
    pub private: bool,
    pub action: &'static str,
}

impl RuleText {
    pub fn write(&self, out: &mut String) {
        // writing to a String can't fail
        let _ = writeln!(out, "  - name: {}", scalar(&self.name));
        if !self.who.is_empty() {
            let _ = writeln!(out, "    who: {}", self.who);
        }
        match self.to.len() {
            0 => {}
            1..=MAX_IN_LINE => {
                let _ = writeln!(out, "    to: {}", list(&self.to));
            }
            _ => {
                let _ = writeln!(out, "    to:");
                for target in &self.to {
                    let _ = writeln!(out, "      - {}", scalar(target));
                }
            }
        }
        if !self.ports.is_empty() {
            let _ = writeln!(out, "    ports: {}", list(&self.ports));
        }
        if self.private {
            let _ = writeln!(out, "    private: true");
        }
        let _ = writeln!(out, "    action: {}", self.action);
    }
}
