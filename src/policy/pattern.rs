//! Patterns on what is known of a process.

use std::fmt;

/// Text in which `*` stands for any characters, or none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Glob(String);

impl Glob {
    pub fn new(text: impl Into<String>) -> Glob {
        Glob(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text itself, if it has no `*`.
    pub fn literal(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(self.0.as_str())
    }

    pub fn matches(&self, text: &str) -> bool {
        glob(self.0.as_bytes(), text.as_bytes())
    }
}

/// Linear in practice: on a mismatch only the latest `*` takes another byte.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else {
                    return false;
                };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// An absolute path, or those in or below a directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    Exact(String),
    /// `DIR/*`: in this directory. Without the trailing slash; empty for `/*`.
    In(String),
    /// `DIR/**`: in this directory or below.
    Below(String),
}

impl PathPattern {
    /// # Errors
    ///
    /// What a path has to look like.
    pub fn parse(text: &str) -> Result<PathPattern, &'static str> {
        if !text.starts_with('/') {
            return Err("has to be an absolute path");
        }
        let (path, pattern): (&str, fn(String) -> PathPattern) =
            if let Some(directory) = text.strip_suffix("/**") {
                (directory, PathPattern::Below)
            } else if let Some(directory) = text.strip_suffix("/*") {
                (directory, PathPattern::In)
            } else {
                (text, PathPattern::Exact)
            };
        if path.contains('*') {
            return Err("can have a * only at its end, as in /usr/bin/* or /opt/app/**");
        }
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        if !path.split('/').skip(1).all(is_plain) {
            return Err("can't have empty parts, . or ..");
        }
        Ok(pattern(path.to_owned()))
    }

    pub fn matches(&self, path: &str) -> bool {
        let below = |directory: &str| {
            let rest = path.strip_prefix(directory)?.strip_prefix('/')?;
            (!rest.is_empty()).then_some(rest)
        };
        match self {
            PathPattern::Exact(exact) => exact == path,
            PathPattern::In(directory) => below(directory).is_some_and(|rest| !rest.contains('/')),
            PathPattern::Below(directory) => below(directory).is_some(),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathPattern::Exact(path) => f.write_str(path),
            PathPattern::In(path) => write!(f, "{path}/*"),
            PathPattern::Below(path) => write!(f, "{path}/**"),
        }
    }
}

/// A user of the host, as the initial user namespace numbers them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UserPattern {
    Uid(u32),
    Name(String),
}

impl UserPattern {
    pub fn matches(&self, uid: Option<u32>, user: Option<&str>) -> bool {
        match self {
            UserPattern::Uid(wanted) => uid == Some(*wanted),
            UserPattern::Name(name) if name == "root" => uid == Some(0),
            UserPattern::Name(name) => user == Some(name.as_str()),
        }
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserPattern::Uid(uid) => write!(f, "{uid}"),
            UserPattern::Name(name) => f.write_str(name),
        }
    }
}

/// An image reference. What it leaves out is read as Docker reads it, but for the tag: without
/// one, any tag or digest matches. `*` may stand in each part.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImagePattern {
    text: String,
    /// Registry and repository.
    repository: Glob,
    tag: Option<Glob>,
    digest: Option<Glob>,
}

impl ImagePattern {
    pub fn new(text: impl Into<String>) -> ImagePattern {
        let text = text.into();
        let parts = Reference::of(&text);
        ImagePattern {
            repository: Glob::new(parts.repository),
            tag: parts.tag.map(Glob::new),
            digest: parts.digest.map(Glob::new),
            text,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, image: &str) -> bool {
        let of = Reference::of(image);
        let part = |glob: &Option<Glob>, text: Option<&str>| {
            glob.as_ref()
                .is_none_or(|glob| text.is_some_and(|text| glob.matches(text)))
        };
        let tag = match (of.tag, of.digest) {
            (None, None) => Some("latest"),
            (tag, _) => tag,
        };
        self.repository.matches(&of.repository)
            && part(&self.tag, tag)
            && part(&self.digest, of.digest)
    }
}

/// The parts of an image reference, its registry made explicit.
struct Reference<'a> {
    repository: String,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl<'a> Reference<'a> {
    fn of(text: &'a str) -> Reference<'a> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // a colon before the last slash is that of a registry's port
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (rest, None),
        };
        let is_registry = |first: &str| first.contains(['.', ':', '*']) || first == "localhost";
        let repository = match path.split_once('/') {
            Some((first, _)) if is_registry(first) => path.to_owned(),
            Some(_) => format!("docker.io/{path}"),
            None if path == "*" => path.to_owned(),
            None => format!("docker.io/library/{path}"),
        };
        let repository = match repository.strip_prefix("index.docker.io/") {
            Some(path) => format!("docker.io/{path}"),
            None => repository,
        };
        Reference {
            repository,
            tag,
            digest,
        }
    }
}
