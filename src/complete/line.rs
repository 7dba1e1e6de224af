//! A command line as a shell reads it, up to where somebody types.

/// How the word that is being typed is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    None,
    Single,
    Double,
}

/// A word, as far as it is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// What it means.
    pub text: String,
    /// The quote that is open at its end.
    pub quote: Quote,
    /// The bytes of `text` that come before what the shell's line editor takes for the
    /// word: bash ends words at characters that its shell does not.
    pub fixed: usize,
}

/// The words of a command line, the last one as far as it is typed; none where a quote
/// begins within a word, where the line editor and the shell are of different minds.
/// `breaks` are the characters at which the line editor ends words (COMP_WORDBREAKS).
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

/// What is to stand in the place of a word being typed for it to mean `text`; none where
/// its quotes can't hold that, or what stays is another beginning.
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
        // In double quotes nothing protects from history expansion.
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
    fn words_are_read_as_the_shell_does() {
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
    fn a_word_that_the_line_editor_splits_is_replaced_from_its_last_part_on() {
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
    fn what_quotes_cannot_hold_is_left_out() {
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
        fn whatever_is_written_is_read_as_what_it_means(text in "\\PC{1,20}", quote in 0..3_usize) {
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
