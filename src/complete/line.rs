//! A command line up to the cursor, split like a shell does.

/// The quoting of the word being typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    None,
    Single,
    Double,
}

/// A word as far as it has been typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// Its text without quotes and escapes.
    pub text: String,
    /// The quote that is open at its end.
    pub quote: Quote,
    /// The length of the prefix of `text` that the line editor does not replace: bash's line
    /// editor breaks words at characters at which the shell does not.
    pub fixed: usize,
}

/// The words of a command line, the last one as far as it has been typed; none if a quote
/// starts within a word, where line editor and shell disagree. `breaks` are the characters at
/// which the line editor breaks words (COMP_WORDBREAKS).
pub fn read(line: &str, breaks: &str) -> Option<(Vec<String>, Typed)> {
    let mut words = Vec::new();
    let mut word: Option<Typed> = None;
    let mut quote = Quote::None;
    let mut whole = true;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let empty = Typed {
            text: String::new(),
            quote: Quote::None,
            fixed: 0,
        };
        match (quote, c) {
            (Quote::None, c) if c.is_whitespace() => {
                words.extend(word.take().map(|word| word.text));
                whole = true;
            }
            (Quote::None, '\'' | '"') => {
                whole = word.is_none();
                quote = if c == '"' {
                    Quote::Double
                } else {
                    Quote::Single
                };
                word.get_or_insert(empty);
            }
            (Quote::Single, '\'') | (Quote::Double, '"') => quote = Quote::None,
            (Quote::None, '\\') => {
                let escaped = chars.next();
                word.get_or_insert(empty).text.extend(escaped);
            }
            (Quote::Double, '\\') => {
                let text = &mut word.get_or_insert(empty).text;
                match chars.next() {
                    Some(c) if "\"\\$`".contains(c) => text.push(c),
                    c => text.extend(['\\'].into_iter().chain(c)),
                }
            }
            (quote, c) => {
                let word = word.get_or_insert(empty);
                word.text.push(c);
                if quote == Quote::None && breaks.contains(c) {
                    word.fixed = word.text.len();
                }
            }
        }
    }
    let typed = Typed {
        quote,
        ..word.unwrap_or(Typed {
            text: String::new(),
            quote,
            fixed: 0,
        })
    };
    (quote == Quote::None || whole).then_some((words, typed))
}

/// How to write `text` in place of the word being typed; none if its quotes can't contain that
/// or the prefix that stays differs.
pub fn write(text: &str, typed: &Typed) -> Option<String> {
    let rest = text.strip_prefix(typed.text.get(..typed.fixed)?)?;
    let plain = |c: char| c.is_alphanumeric() || "_./:@%+,=-".contains(c);
    let escape = |escaped: &dyn Fn(char) -> bool| {
        let mut word = String::new();
        for c in rest.chars() {
            if escaped(c) {
                word.push('\\');
            }
            word.push(c);
        }
        word
    };
    match typed.quote {
        Quote::None => Some(escape(&|c| !plain(c))),
        // Nothing protects from history expansion in double quotes.
        Quote::Double if text.contains('!') => None,
        Quote::Double => Some(escape(&|c| "\"\\$`".contains(c))),
        Quote::Single => (!text.contains('\'')).then(|| rest.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BREAKS: &str = " \t\n\"'@><=;|&(:";

    fn typed(line: &str) -> (Vec<String>, Typed) {
        read(line, BREAKS).unwrap()
    }

    #[test]
    fn words_are_split_like_in_the_shell() {
        let (words, last) = typed(r#"egrets query "a b\"" 'c"d' e\ f g"#);
        assert_eq!(words, ["egrets", "query", "a b\"", "c\"d", "e f"]);
        assert_eq!((&*last.text, last.quote), ("g", Quote::None));
        let (words, last) = typed("egrets ");
        assert_eq!((words.len(), &*last.text), (1, ""));
        let (_, last) = typed("egrets query 'who hit ");
        assert_eq!((&*last.text, last.quote), ("who hit ", Quote::Single));
        assert_eq!(read("egrets que'ry", BREAKS), None);
    }

    #[test]
    fn word_that_the_line_editor_splits_is_replaced_from_its_last_part() {
        let (_, last) = typed("egrets query image nginx:1");
        assert_eq!((&*last.text, last.fixed), ("nginx:1", 6));
        assert_eq!(write("nginx:1.29", &last).unwrap(), "1.29");
        assert_eq!(write("'nginx:1'", &last), None);
        let (_, last) = typed("egrets query 'image nginx:1");
        assert_eq!(
            write("image nginx:1.29", &last).unwrap(),
            "image nginx:1.29"
        );
    }

    #[test]
    fn text_that_the_quotes_cannot_contain_is_left_out() {
        let in_quotes = |quote, text| {
            let typed = Typed {
                text: String::new(),
                quote,
                fixed: 0,
            };
            write(text, &typed)
        };
        assert_eq!(in_quotes(Quote::Single, "it's"), None);
        assert_eq!(in_quotes(Quote::Double, "hey!"), None);
        assert_eq!(
            in_quotes(Quote::Double, "a$(b)`c`\"").unwrap(),
            "a\\$(b)\\`c\\`\\\""
        );
        assert_eq!(
            in_quotes(Quote::None, "a;b $(c)").unwrap(),
            "a\\;b\\ \\$\\(c\\)"
        );
    }

    proptest! {
        #[test]
        fn written_words_read_back_as_the_same_text(text in "\\PC{1,20}", quote in 0..3_usize) {
            let (quote, opening) =
                [(Quote::None, ""), (Quote::Single, "'"), (Quote::Double, "\"")][quote];
            let typed = Typed { text: String::new(), quote, fixed: 0 };
            if let Some(written) = write(&text, &typed) {
                let (words, read) = read(&format!("x {opening}{written}"), "").unwrap();
                prop_assert_eq!((words, read.text), (vec!["x".to_owned()], text));
            }
        }

        #[test]
        fn no_line_panics(line in any::<String>()) {
            let _ = read(&line, BREAKS);
        }
    }
}
