//! Which processes share rules: an image, a unit, a program, a user.

use std::collections::HashMap;

use hashlink::LruCache;

use super::super::emit::scalar;
use super::super::facts::{Container, Subject};
use super::super::warnings::runs_others;
use super::super::{Details, PathPattern, Policy, Who};

/// Processes whose actors are kept.
const MAX_PROCESSES: usize = 10_000;

/// Texts of `who` whose meaning is kept.
const MAX_TEXTS: usize = 100_000;

/// Processes that the user chose, as `who` has them.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The mapping in braces.
    pub text: String,
    pub label: String,
    who: Who,
}

impl Chosen {
    /// # Errors
    ///
    /// A value that `who` can't have.
    pub fn new(key: &str, value: &str) -> anyhow::Result<Chosen> {
        let text = format!("{{ {key}: {} }}", scalar(value));
        match parse(&text) {
            Some(who) => Ok(Chosen {
                text,
                label: value.to_owned(),
                who,
            }),
            None => anyhow::bail!("--{key}: \"{value}\" is not one that a policy can name"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Actor {
    /// The mapping in braces; empty for every process.
    pub who: String,
    pub label: String,
}

pub struct Actors<'a> {
    chosen: &'a [Chosen],
    known: LruCache<i64, Option<Actor>>,
    texts: HashMap<String, Option<Who>>,
}

impl<'a> Actors<'a> {
    pub fn new(chosen: &'a [Chosen]) -> Actors<'a> {
        Actors {
            chosen,
            known: LruCache::new(MAX_PROCESSES),
            texts: HashMap::new(),
        }
    }

    /// None for a process that was not chosen.
    pub fn of(&mut self, process: i64, subject: &Subject) -> Option<Actor> {
        if let Some(actor) = self.known.get(&process) {
            return actor.clone();
        }
        let actor = match self.chosen {
            [] => Some(self.narrowest(subject)),
            chosen => chosen
                .iter()
                .find(|chosen| chosen.who.mismatch(subject).is_none())
                .map(|chosen| Actor {
                    who: chosen.text.clone(),
                    label: chosen.label.clone(),
                }),
        };
        self.known.insert(process, actor.clone());
        actor
    }

    /// The first candidate that a policy can say and that does mean this process.
    fn narrowest(&mut self, subject: &Subject) -> Actor {
        candidates(subject)
            .into_iter()
            .find(|actor| self.means(&actor.who, subject))
            .unwrap_or(Actor {
                who: String::new(),
                label: "every process".to_owned(),
            })
    }

    fn means(&mut self, text: &str, subject: &Subject) -> bool {
        let means = |who: &Option<Who>| {
            who.as_ref()
                .is_some_and(|who| who.mismatch(subject).is_none())
        };
        if let Some(who) = self.texts.get(text) {
            return means(who);
        }
        let who = parse(text);
        let found = means(&who);
        if self.texts.len() < MAX_TEXTS {
            self.texts.insert(text.to_owned(), who);
        }
        found
    }
}

/// What a policy would read this `who` as.
fn parse(text: &str) -> Option<Who> {
    let policy =
        format!("version: 1\ndefault: block\nrules:\n  - {{ who: {text}, action: allow }}\n");
    Policy::parse(&policy)
        .ok()?
        .rules
        .pop()
        .map(|rule| rule.who)
}

fn candidates(subject: &Subject) -> Vec<Actor> {
    let mut found = Vec::new();
    let mut add = |conditions: &[(&str, &str)], label: &str| {
        let conditions: Vec<String> = conditions
            .iter()
            .map(|(key, value)| format!("{key}: {}", scalar(value)))
            .collect();
        found.push(Actor {
            who: format!("{{ {} }}", conditions.join(", ")),
            label: label.to_owned(),
        });
    };
    let user = subject.user.as_deref();
    let uid = subject.uid.map(|uid| uid.to_string());
    match &subject.container {
        Container::Known(details) => in_container(details, &mut add),
        Container::Unknown => {
            let parent = subject
                .cgroup
                .as_deref()
                .and_then(|path| path.rsplit_once('/'));
            if let Some((parent, _)) = parent {
                add(&[("cgroup", &format!("{parent}/*"))], "unknown containers");
            }
        }
        Container::None => {
            if let Some(unit) = subject.system_unit() {
                add(&[("unit", unit)], unit);
            }
            if let Some(exe) = subject.exe_for(false) {
                let name = exe.rsplit('/').next().unwrap_or(exe);
                let runs_others = PathPattern::parse(exe).is_ok_and(|path| runs_others(&path));
                if runs_others && let Some(user) = user {
                    add(
                        &[("exe", exe), ("user", user)],
                        &format!("{name} of {user}"),
                    );
                }
                add(&[("exe", exe)], name);
            }
        }
    }
    if let Some(user) = user {
        add(&[("user", user)], user);
    }
    if let Some(uid) = &uid {
        add(&[("user", uid)], &format!("user {uid}"));
    }
    found
}

fn in_container(details: &Details, add: &mut impl FnMut(&[(&str, &str)], &str)) {
    if let (Some(namespace), Some(name)) = (&details.namespace, &details.name) {
        add(
            &[("namespace", namespace), ("container", name)],
            &format!("{namespace}/{name}"),
        );
    }
    if let Some(image) = &details.image {
        let image = image.split('@').next().unwrap_or(image);
        let repository = match image.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository,
            _ => image,
        };
        // an image without a name has only its digest
        if !repository.is_empty() && repository != "sha256" {
            add(&[("image", repository)], repository);
        }
    }
    if let Some(name) = &details.name {
        add(&[("container", name)], name);
    }
    if let Some(pod) = &details.pod {
        add(&[("pod", pod)], pod);
    }
    if let Some(id) = &details.id {
        add(&[("container", id)], id);
    }
}
