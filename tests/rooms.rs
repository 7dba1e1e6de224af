//! The rooms of the code use each other only as docs/architecture.md allows, and no two
//! modules use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, File, Item, ItemMod, ItemUse, Macro, UseTree};

/// A module by its path below the crate: `["store", "retention"]`.
type Module = Vec<String>;

/// What each module uses of the crate, outside of its tests.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files below src that are not tests, each with its module.
fn sources() -> Vec<(Module, File)> {
    let mut found = Vec::new();
    for file in ["lib.rs", "main.rs"] {
        collect(&root().join("src"), file, &[], &mut found);
    }
    found
}

/// A file and, by its `mod` items, those below it.
fn collect(dir: &Path, name: &str, module: &[String], found: &mut Vec<(Module, File)>) {
    let path = dir.join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = syn::parse_file(&text).unwrap();
    for item in &file.items {
        let Item::Mod(child) = item else { continue };
        if child.content.is_some() || is_test(&child.attrs) {
            continue;
        }
        let ident = child.ident.to_string();
        let below = [module, std::slice::from_ref(&ident)].concat();
        let dir = match name {
            "lib.rs" | "main.rs" | "mod.rs" => dir.to_path_buf(),
            file => dir.join(file.trim_end_matches(".rs")),
        };
        match dir.join(&ident).join("mod.rs").exists() {
            true => collect(&dir.join(&ident), "mod.rs", &below, found),
            false => collect(&dir, &format!("{ident}.rs"), &below, found),
        }
    }
    found.push((module.to_vec(), file));
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

/// Finds the paths of one file that begin with `crate`, `super` or `self`.
struct Finder<'a> {
    module: &'a [String],
    used: BTreeSet<Module>,
}

impl Finder<'_> {
    fn add(&mut self, path: &[String]) {
        let mut at = self.module.to_vec();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate" | "egrets") => at.clear(),
            Some("super" | "self") => {}
            _ => return,
        }
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "super" => drop(at.pop()),
                "self" | "crate" | "egrets" => {}
                _ => break,
            }
            rest = others;
        }
        at.extend_from_slice(rest);
        self.used.insert(at);
    }

    fn tree(&mut self, above: &[String], tree: &UseTree) {
        let with = |ident: &syn::Ident| [above, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(above, item)),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(rename) => self.add(&with(&rename.ident)),
            UseTree::Glob(_) => self.add(above),
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    /// An inline module is taken for a part of its file.
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let inner = self.module.len();
        visit::visit_item_mod(self, item);
        assert_eq!(self.module.len(), inner);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.add(&names);
        visit::visit_path(self, path);
    }

    /// syn does not parse what a macro is given.
    fn visit_macro(&mut self, item: &'ast Macro) {
        let tokens = item.tokens.to_string().replace(' ', "");
        for (at, _) in tokens.match_indices("crate::") {
            let path: String = tokens[at..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || matches!(c, ':' | '_'))
                .collect();
            let names: Vec<String> = path.split("::").map(str::to_string).collect();
            self.add(&names);
        }
        visit::visit_macro(self, item);
    }
}

fn uses() -> Uses {
    sources()
        .iter()
        .map(|(module, file)| {
            let mut finder = Finder {
                module,
                used: BTreeSet::new(),
            };
            finder.visit_file(file);
            (module.clone(), finder.used)
        })
        .collect()
}

/// The table of docs/architecture.md: each room, and what it may use.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let names = |cell: &str| -> BTreeSet<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_string)
            .collect()
    };
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with("| room "))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells: Vec<&str> = line.split('|').collect();
        let [_, room, _, may_use, _] = cells[..] else {
            panic!("{line}: not three cells")
        };
        (names(room).into_iter().next().unwrap(), names(may_use))
    })
    .collect()
}

#[test]
fn each_room_uses_only_what_the_architecture_allows() {
    let allowed = allowed();
    assert!(allowed.len() > 5, "the table of rooms is missing");
    let mut rooms = BTreeSet::new();
    let mut broken = BTreeSet::new();
    for (module, used) in uses() {
        let Some(room) = module.first() else {
            continue; // lib.rs and main.rs join the rooms
        };
        rooms.insert(room.clone());
        let Some(may_use) = allowed.get(room) else {
            broken.insert(format!("{room} is not in the table"));
            continue;
        };
        for path in used {
            let covers = |entry: &String| {
                let entry: Vec<&str> = entry.split("::").collect();
                path.len() >= entry.len() && path.iter().zip(&entry).all(|(a, b)| a == b)
            };
            if path.first() != Some(room) && !may_use.iter().any(covers) {
                let (module, path) = (module.join("::"), path.join("::"));
                broken.insert(format!("{module} uses {path}"));
            }
        }
    }
    assert_eq!(broken, BTreeSet::new());
    let listed: BTreeSet<String> = allowed.into_keys().collect();
    assert_eq!(listed, rooms, "the table and src/ have different rooms");
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let uses = uses();
    let edges: BTreeMap<&Module, BTreeSet<&Module>> = uses
        .iter()
        .map(|(from, used)| {
            let to = used.iter().filter_map(|path| {
                let module = (1..=path.len())
                    .rev()
                    .find_map(|n| uses.get_key_value(&path[..n]).map(|(module, _)| module))?;
                // a module and those inside it are one thing, seen from outside
                let related = module.starts_with(from) || from.starts_with(module);
                (!related).then_some(module)
            });
            (from, to.collect())
        })
        .collect();
    let mut circles = BTreeSet::new();
    for start in edges.keys() {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = edges[start].iter().copied().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(&edges[module]);
            }
        }
        if reached.contains(start) {
            circles.insert(start.join("::"));
        }
    }
    assert_eq!(circles, BTreeSet::new());
}
