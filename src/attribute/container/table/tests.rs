use super::*;
use crate::model::ContainerTable;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn details(name: &str, ip: Option<&str>) -> ContainerDetails {
    ContainerDetails {
        name: Some(name.into()),
        image: Some("img:1".into()),
        hostname: Some("h".into()),
        ip: ip.map(str::to_string),
        runtime: Some("docker"),
        ..ContainerDetails::default()
    }
}

/// A table with one container, whose details are pending, and what its records say.
struct World {
    table: Containers,
    sink: ContainerTable,
    records: usize,
}

impl World {
    fn empty() -> World {
        World {
            table: Containers::start(Path::new("/sys/fs/cgroup"), std::iter::empty(), None),
            sink: ContainerTable::default(),
            records: 0,
        }
    }

    fn new() -> (World, Rc<Container>) {
        let mut world = World::empty();
        let container = world.container();
        (world, container)
    }

    fn emit<T>(&mut self, make: impl FnOnce(&mut Containers, &mut Vec<Record>) -> T) -> T {
        let mut out = Vec::new();
        let result = make(&mut self.table, &mut out);
        self.records = out.len();
        for record in out {
            match record {
                Record::Container(update) => self.sink.update(&update),
                other => panic!("{other:?}"),
            }
        }
        result
    }

    fn container(&mut self) -> Rc<Container> {
        self.emit(|table, out| table.of(&format!("/docker/{ID}"), out))
            .unwrap()
    }

    fn answer(&mut self, details: Option<ContainerDetails>) {
        self.emit(|table, out| table.answered(0, ID, details, out));
    }

    fn change(&mut self, ts: i64, change: ContainerChange) {
        self.table
            .pending_changes
            .push_back((ts, ID.into(), change));
        self.apply_until(ts);
    }

    fn apply_until(&mut self, ts: i64) {
        self.emit(|table, out| table.apply_until(ts, out));
    }

    fn details_of(&self, container: &Container) -> ContainerDetails {
        self.sink.details(container).unwrap().clone()
    }

    fn details(&mut self) -> ContainerDetails {
        let container = self.container();
        self.details_of(&container)
    }
}

#[test]
fn container_keeps_its_old_name_for_what_it_did_before_a_rename() {
    let (mut world, first) = World::new();
    world.answer(Some(details("web", None)));
    let rename = ContainerChange::Renamed("old".into());
    world
        .table
        .pending_changes
        .push_back((50, ID.into(), rename));
    world.apply_until(49);
    assert_eq!(world.details().name.as_deref(), Some("web"));
    world.apply_until(50);
    assert_eq!(world.details().name.as_deref(), Some("old"));
    assert_eq!(world.details_of(&first).name.as_deref(), Some("web"));
    let second = world.container();
    assert!(second.serial != first.serial && second.id == first.id);
}

#[test]
fn address_completes_the_details_and_a_restart_replaces_it() {
    let (mut world, first) = World::new();
    world.answer(Some(details("web", None)));
    world.change(1, ContainerChange::Address("10.0.0.2".into()));
    assert_eq!(world.records, 1);
    world.change(2, ContainerChange::Address("10.9.0.2".into())); // a second network
    assert_eq!(world.details_of(&first).ip.as_deref(), Some("10.0.0.2"));
    world.change(3, ContainerChange::Stopped);
    assert_eq!(world.details().ip.as_deref(), Some("10.0.0.2"));
    world.change(4, ContainerChange::Address("10.0.0.3".into()));
    assert_eq!(world.details().ip.as_deref(), Some("10.0.0.3"));
    assert_eq!(world.details_of(&first).ip.as_deref(), Some("10.0.0.2"));
}

#[test]
fn events_count_where_the_container_is_removed_before_the_answer() {
    let mut world = World::empty();
    let named = ContainerChange::Named {
        name: Some("web".into()),
        image: Some("img:1".into()),
    };
    world.change(1, named);
    world.change(2, ContainerChange::Address("10.0.0.2".into()));
    let container = world.container();
    assert!(
        world.sink.is_pending(&container),
        "its hostname may come yet"
    );
    world.answer(None);
    let details = world.details();
    assert_eq!(
        (
            details.name.as_deref(),
            details.image.as_deref(),
            details.ip.as_deref()
        ),
        (Some("web"), Some("img:1"), Some("10.0.0.2"))
    );
    // a later empty answer removes nothing
    world.answer(None);
    assert_eq!(world.details(), details);
}

#[test]
fn overlong_text_is_cut_between_two_characters() {
    let (mut world, _) = World::new();
    let long = format!("x{}", "é".repeat(1 << 20));
    world.answer(Some(details(&long, None)));
    let name = world.details().name.unwrap();
    assert!(name.len() == 1023 && long.starts_with(&name));
    world.change(1, ContainerChange::Renamed(format!("y{long}")));
    assert_eq!(world.details().name.unwrap().len(), 1024);
}

#[test]
fn empty_answer_leaves_the_details_unknown() {
    let (mut world, container) = World::new();
    world.answer(None);
    let entry = world.table.entries.get(0, ID).unwrap();
    assert_eq!(entry.details, Details::Unknown);
    assert!(!world.sink.is_pending(&container));
}

#[test]
fn an_id_in_a_users_cgroup_is_that_users_container_and_never_roots() {
    let mut world = World::empty();
    let user =
        |uid: u32| format!("/user.slice/user-{uid}.slice/user@{uid}.service/docker-{ID}.scope");
    let claim = |world: &mut World, path: &str| world.emit(|table, out| table.created(path, out));
    let first = claim(&mut world, &user(1000)).unwrap();
    let second = claim(&mut world, &user(1001)).unwrap();
    assert_eq!((first.uid, second.uid), (1000, 1001));
    assert_ne!(first.key(), second.key());
    // root's own: the id says nothing more in a user's cgroup
    let system = claim(&mut world, &format!("/docker/{ID}")).unwrap();
    assert_eq!(system.uid, 0);
    assert_eq!(claim(&mut world, &user(1000)), None);
    world.answer(Some(details("web", None)));
    assert_eq!(world.details_of(&system).name.as_deref(), Some("web"));
    assert_eq!(world.sink.details(&second), None);
    let name = "/user.slice/user-1000.slice/user@1000.service/lxc/web";
    assert_eq!(claim(&mut world, name), None);
}

#[test]
fn a_cgroup_in_a_container_with_another_ones_id_is_the_containers_that_it_is_in() {
    let other = ID.replace('0', "f");
    let inside = |id: &str| format!("/docker/{other}/payload/docker-{id}.scope");
    let user =
        |id: &str| format!("/user.slice/user-1000.slice/user@1000.service/libpod-{id}.scope");
    let created = |world: &mut World, path: &str| {
        let found = world.emit(|table, out| table.created(path, out)).unwrap();
        (found.uid, found.id.clone())
    };
    // a container of root's, and a user's
    let mut world = World::empty();
    assert_eq!(
        created(&mut world, &format!("/docker/{ID}")),
        (0, ID.into())
    );
    assert_eq!(created(&mut world, &inside(ID)), (0, other.clone()));
    let users = ID.replace('1', "e");
    assert_eq!(created(&mut world, &user(&users)), (1000, users.clone()));
    assert_eq!(created(&mut world, &inside(&users)).1, other);
    assert_eq!(created(&mut world, &user(&users)), (1000, users.clone()));
    let borrowed = format!("{}/container/libpod-{users}.scope", user(&other));
    assert_eq!(created(&mut world, &borrowed), (1000, other.clone()));
    // before the recorder, in any order
    let paths = [inside(ID), format!("/docker/{ID}")];
    let existing = paths.iter().map(String::as_str);
    world.table = Containers::start(Path::new("/sys/fs/cgroup"), existing, None);
    for (path, id) in paths.iter().zip([&*other, ID]) {
        assert_eq!(created(&mut world, path).1, id);
    }
    // a container of its own
    let own = ID.replace('2', "d");
    assert_eq!(created(&mut world, &inside(&own)).1, own);
}
