use proptest::prelude::*;

use super::super::*;

/// The errors of a text, each as LINE:COLUMN: TEXT.
fn errors(text: &str) -> Vec<String> {
    match Policy::parse(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

const EXAMPLE: &str = r#"
version: 1
resolvers: [system, 192.0.2.53]
default: allow
rules:
  - { name: metadata is for the host's root, who: { host: true, user: root }, to: [metadata], action: allow }
  - { name: and for no other, to: [metadata], action: block }
  - name: the web tier may use its API
    who: { image: "shop/web:*" }
    to: [api.example.com, "*.cdn.example.com"]
    ports: [443]
    action: allow
  - { name: and nothing else, who: { image: "shop/web:*" }, action: block }
  - { name: known bad, to: ["list:feeds/*.txt"], action: kill, expires: 2027-06-01, owner: secops, ticket: SEC-17 }
"#;

#[test]
fn example_of_the_documentation_is_read() {
    let policy = Policy::parse(EXAMPLE).unwrap();
    assert_eq!(policy.rules.len(), 5);
    assert_eq!(policy.default, Action::Allow);
    let [first, .., last] = &policy.rules[..] else {
        panic!()
    };
    assert_eq!(first.at, Position { line: 6, column: 5 });
    assert_eq!(first.who.host, Some(true));
    assert_eq!(first.to, [Target::Metadata]);
    assert_eq!(last.to, [Target::List(0)]);
    assert_eq!(last.expires, Some(1_811_808_000_000_000_000));
    assert_eq!(last.ticket.as_deref(), Some("SEC-17"));
    assert_eq!(policy.lists[0].pattern, "feeds/*.txt");
    assert_eq!(policy.digest.len(), 64);
}

#[test]
fn all_errors_are_reported_each_at_its_position() {
    let text = "\
version: 2
defualt: allow
rules:
  - name: a
    who: { exe: curl, user: [root, 'a b'], porcess: x }
    to: [http://example.com/x, example.com:443, 10.1.2.3/8, 1.2.3.4/40, pubic]
    ports: [0, 90-80, 443/icmp, https]
    action: blok
    expires: tomorrow
  - { name: a, action: allow }
  - { to: [], private: maybe }
";
    assert_eq!(
        errors(text),
        [
            "1:1: default is missing: a policy says 'default: allow'",
            "1:10: this egrets knows version 1, not \"2\"",
            "2:1: a policy has no key \"defualt\"; did you mean default?",
            "5:17: exe \"curl\" has to be an absolute path",
            "5:36: user \"a b\" is not a user's name or number",
            "5:44: who has no key \"porcess\"; did you mean process?",
            "6:10: \"http://example.com/x\" is a URL: write its name alone, \"example.com\"",
            "6:32: \"example.com:443\" has a port: write \"example.com\", and 'ports: [443]'",
            "6:49: \"10.1.2.3/8\" has bits beyond its prefix; is it 10.0.0.0/8?",
            "6:61: \"1.2.3.4/40\" has a prefix that is not a number from 0 to 32",
            "6:73: \"pubic\" is not known; did you mean public? =pubic is the name",
            "7:13: \"0\" is not a port (443), a range (8000-8999), either with a protocol (53/udp), or a protocol (icmp)",
            "7:16: \"90-80\" is not a port (443), a range (8000-8999), either with a protocol (53/udp), or a protocol (icmp)",
            "7:23: \"443/icmp\" is not a port (443), a range (8000-8999), either with a protocol (53/udp), or a protocol (icmp)",
            "7:33: \"https\" is not a port (443), a range (8000-8999), either with a protocol (53/udp), or a protocol (icmp)",
            "8:13: action can't be \"blok\"; did you mean block?",
            "9:14: expires is a date, 2027-06-01, or a time with its zone, 2027-06-01T18:00:00Z; \"tomorrow\" is not",
            "10:5: the rule at line 4 has this name already",
            "11:5: the rule has no action, such as 'action: allow'",
            "11:11: to is an empty list, which nothing matches: leave it out",
            "11:24: private can't be \"maybe\"; it is one of true, false",
        ]
    );
}

#[test]
fn what_is_no_policy_at_all_is_said_at_its_position() {
    for (text, expected) in [
        ("", "1:1: a policy is a mapping of version,"),
        ("- a\n- b\n", "1:1: a policy is a mapping of version,"),
        ("version: 1\n default: x\n", "2:"),
        (
            "version: 1\ndefault: [\n",
            "2:10: this is not valid YAML: unclosed bracket",
        ),
        ("a: &a [*a]\n", "1:8: an alias is within what it stands for"),
        (
            "version: 1\n---\nversion: 1\n",
            "2:1: a policy is one document",
        ),
        (
            "version: 1\nversion: 1\ndefault: allow\n",
            "2:1: version is given twice, at line 1 first",
        ),
        (
            "version: 1\ndefault: allow\nrules: {}\n",
            "3:8: rules is a list: each one begins with '- '",
        ),
        (
            "version: 1\ndefault: allow\nessentials: [ntp]\n",
            "3:13: essentials take out what is not to stay open",
        ),
        (
            "version: 1\ndefault: allow\nrules: [{who: {process: x}, action: block}]\n",
            "3:15: process goes with 'action: alert' only",
        ),
        (
            "version: 1\ndefault: block\nrules: [{action: allow, who: {via: '!/a'}}]\n",
            "3:36: a negated via does not go with 'action: allow', since a process can choose",
        ),
        (
            "version: 1\ndefault: block\nrules: [{who: {via: [/b, '!/a']}, action: allow}]\n",
            "3:26: a negated via does not go with 'action: allow'",
        ),
    ] {
        let found = errors(text);
        assert!(
            found
                .first()
                .is_some_and(|first| first.starts_with(expected)),
            "{text:?}: {found:?}"
        );
    }
}

#[test]
fn a_policy_has_256_rules_at_most() {
    let with = |rules: usize| {
        let rules = "  - { action: allow }\n".repeat(rules);
        format!("version: 1\ndefault: block\nrules:\n{rules}")
    };
    assert_eq!(Policy::parse(&with(256)).unwrap().rules.len(), 256);
    let [error] = &errors(&with(257))[..] else {
        panic!()
    };
    assert!(error.starts_with("260:5: a policy has 256 rules at most, and this one 257"));
}

#[test]
fn aliases_can_not_make_a_small_file_large() {
    let mut text =
        String::from("version: 1\ndefault: allow\nx0: &x0 [a, a, a, a, a, a, a, a, a]\n");
    for level in 1..12 {
        let before = format!("*x{}, ", level - 1).repeat(9);
        text += &format!("x{level}: &x{level} [{before}]\n");
    }
    let [error] = &errors(&text)[..] else {
        panic!()
    };
    assert!(
        error.contains("more by its aliases, than a policy can be"),
        "{error}"
    );
    // what is far below the bounds works
    let text = "version: 1\ndefault: allow\nrules:\n  - { name: a, who: &w { user: root }, action: allow }\n  - { name: b, who: *w, action: block }\n";
    let policy = Policy::parse(text).unwrap();
    assert_eq!(policy.rules[0].who, policy.rules[1].who);
}

#[test]
fn numbers_keep_their_spelling() {
    let text = "version: 1\ndefault: allow\nrules:\n  - { name: 0777, ticket: 1e3, owner: yes, who: { user: [0, '!007'] }, action: allow }\n";
    let policy = Policy::parse(text).unwrap();
    let rule = &policy.rules[0];
    let texts = [&rule.name, &rule.ticket, &rule.owner].map(|text| text.as_deref().unwrap());
    assert_eq!(texts, ["0777", "1e3", "yes"]);
    assert_eq!(rule.who.user.any, [UserPattern::Uid(0)]);
    assert_eq!(rule.who.user.none, [UserPattern::Uid(7)]);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = Policy::parse(&text);
    }

    #[test]
    fn any_value_is_read_or_refused(
        key in "who|to|ports|action|expires|name|private|mode|x",
        value in "[ -~]{0,30}",
    ) {
        let text = format!("version: 1\ndefault: allow\nrules:\n  - {{ action: allow, {key}: {value} }}\n");
        let _ = Policy::parse(&text);
    }
}

#[test]
fn notify_is_a_program_with_arguments_the_journal_and_a_webhook() {
    let policy = |notify: &str| format!("version: 1\ndefault: allow\nnotify: {notify}\n");
    let read = Policy::parse(&policy("{ exec: [/bin/x, 'a b', 7], journald: true }")).unwrap();
    assert_eq!(read.notify.exec, ["/bin/x", "a b", "7"]);
    assert!(read.notify.journald);
    let read = Policy::parse(&policy("{ journald: false }")).unwrap();
    assert!(read.notify.is_empty());
    assert_eq!(
        errors(&policy("{ exec: x -v, webhook: x.test }")),
        [
            "3:17: exec is a list of a program and its arguments, 64 at most: [/usr/local/bin/alert, --team, ops]",
            "3:32: a webhook has a URL with http:// or https://",
        ]
    );
    let read = Policy::parse(&policy("{ webhook: 'https://x.test/a' }")).unwrap();
    assert_eq!(read.notify.webhook.unwrap().url, "https://x.test/a");
    let with_secret = |url: &str| {
        policy(&format!(
            "{{ webhook: {{ url: '{url}', header_file: /s, ca_file: /c }} }}"
        ))
    };
    let read = Policy::parse(&with_secret("http://[::1]:8080/a")).unwrap();
    let webhook = read.notify.webhook.unwrap();
    assert_eq!(webhook.header_file.as_deref(), Some("/s"));
    assert_eq!(webhook.ca_file.as_deref(), Some("/c"));
    for (url, why) in [
        (
            "http://x.test/127.0.0.1",
            "http sends what is in header_file unencrypted: use https",
        ),
        (
            "http://127.0.0.1.x.test",
            "http sends what is in header_file unencrypted: use https",
        ),
        (
            "https://me:secret@x.test",
            "a password in a URL is anyone's who may read it: use header_file",
        ),
        (
            "https:///x",
            "a webhook's URL has a host, and no space or special character",
        ),
        (
            "https://x.test/a b",
            "a webhook's URL has a host, and no space or special character",
        ),
    ] {
        assert_eq!(errors(&with_secret(url)), [format!("3:20: {why}")], "{url}");
    }
    assert_eq!(
        errors(&policy(
            "{ webhook: { url: 'https://x.test', header_file: s } }"
        )),
        ["3:58: header_file is an absolute path"]
    );
    assert_eq!(
        errors(&policy("{ exec: [x], journal: true }")),
        [
            "3:18: the program of exec is an absolute path",
            "3:22: notify has no key \"journal\"; did you mean journald?",
        ]
    );
}
