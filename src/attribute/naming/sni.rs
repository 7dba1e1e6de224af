//! What a connection's own server name means for its host. Pure.

use std::rc::Rc;

use crate::model::{MAX_RIVALS, Name, Rival, Source};

/// The name of a connection that has sent this server name, where that changes it. What the process
/// itself has looked up stays, unless the address had other names and this is one of them.
pub fn with_sni(name: Option<&Name>, sni: &Rc<str>) -> Option<Name> {
    let sent = Name {
        host: Rc::clone(sni),
        source: Source::Sni,
        age_ms: None,
        lookup: None,
        rivals: 0,
        rival_names: Vec::new(),
    };
    let Some(name) = name else {
        return Some(sent);
    };
    if name.host == *sni {
        return None;
    }
    let is_own = matches!(name.source, Source::Process | Source::Ancestor);
    let mut rival_names = name.rival_names.clone();
    let before = Rival {
        host: Rc::clone(&name.host),
        lookup: name.lookup,
    };
    match rival_names.iter_mut().find(|rival| rival.host == *sni) {
        Some(rival) => {
            let lookup = std::mem::replace(rival, before).lookup;
            Some(Name {
                lookup,
                rivals: name.rivals,
                rival_names,
                ..sent
            })
        }
        None if is_own => None,
        None => {
            rival_names.insert(0, before);
            rival_names.truncate(MAX_RIVALS);
            Some(Name {
                rivals: name.rivals + 1,
                rival_names,
                ..sent
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str, source: Source, rivals: &[&str]) -> Name {
        Name {
            host: host.into(),
            source,
            age_ms: Some(5),
            lookup: Some(1),
            rivals: rivals.len(),
            rival_names: (2..)
                .zip(rivals)
                .map(|(lookup, host)| Rival {
                    host: (*host).into(),
                    lookup: Some(lookup),
                })
                .collect(),
        }
    }

    #[test]
    fn server_name_is_the_host_unless_the_process_looked_up_another() {
        use Source::{Ancestor, Container, Host, Hosts, Netns, Process, Sni};
        let sni: Rc<str> = "sni.test".into();
        let named = |name: Option<&Name>| {
            let new = with_sni(name, &sni)?;
            assert_eq!(
                (&*new.host, new.source, new.age_ms),
                ("sni.test", Sni, None)
            );
            let rivals: Vec<String> = new.rival_names.iter().map(|r| r.host.to_string()).collect();
            assert_eq!(new.rivals, rivals.len());
            Some((new.lookup, rivals.join(" ")))
        };
        let is = |lookup, rivals: &str| Some((lookup, rivals.to_owned()));
        assert_eq!(named(None), is(None, ""));
        for source in [Process, Ancestor] {
            assert_eq!(named(Some(&name("own.test", source, &[]))), None);
            assert_eq!(named(Some(&name("own.test", source, &["b.test"]))), None);
            let one_of_them = name("own.test", source, &["b.test", "sni.test"]);
            assert_eq!(named(Some(&one_of_them)), is(Some(3), "b.test own.test"));
        }
        for source in [Container, Netns, Host, Hosts] {
            let wide = name("wide.test", source, &["b.test"]);
            assert_eq!(named(Some(&wide)), is(None, "wide.test b.test"));
            assert_eq!(named(Some(&name("sni.test", source, &["b.test"]))), None);
        }
    }
}
