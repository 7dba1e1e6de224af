//! A process over its whole life.

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::identity::Identity;
use super::image::Image;
use crate::attribute::naming::ProcessKey;
use crate::model::{Ancestor, Process, tick_ns};

/// A process, linked to its parent.
#[derive(Debug)]
pub struct Node {
    pub key: ProcessKey,
    pub ppid: Option<u32>,
    pub parent: Option<Rc<Node>>,
    /// What the parent ran at the fork.
    pub parent_image: Option<Rc<Image>>,
    depth: usize,
    image: RefCell<Rc<Image>>,
    /// Pid of its session's leader at its last fork or exec; 0 where that is unknown.
    pub session: Cell<u32>,
    /// Whether this run records it: with `record -- CMD`, CMD and its descendants.
    pub tracked: Cell<bool>,
    /// Its cgroup v1 path, if that names a container.
    pub v1_path: RefCell<Option<Rc<str>>>,
    /// Whether that has been read from /proc.
    pub v1_path_read: Cell<bool>,
    /// Its identities in its last events, the newest first.
    pub last: RefCell<VecDeque<(Identity, Rc<Process>)>>,
    /// Its ancestor record, and the program that this is for.
    pub ancestor: RefCell<Option<(Rc<Image>, Rc<Ancestor>)>>,
}

/// Ancestors kept of a process, even after they have ended.
pub const MAX_DEPTH: usize = 64;

impl Node {
    /// A process whose parent is not in the table.
    pub fn orphan(key: ProcessKey, ppid: Option<u32>) -> Node {
        Node {
            key,
            ppid,
            parent: None,
            parent_image: None,
            depth: 0,
            image: RefCell::default(),
            session: Cell::new(0),
            tracked: Cell::new(false),
            v1_path: RefCell::default(),
            v1_path_read: Cell::new(false),
            last: RefCell::default(),
            ancestor: RefCell::default(),
        }
    }

    /// A new process, which has its parent's program until it execs.
    pub fn child(parent: &Rc<Node>, key: ProcessKey) -> Node {
        // Processes that fork and exit forever would otherwise make an endless chain.
        let cut = parent.depth >= MAX_DEPTH;
        let node = Node {
            ppid: Some(parent.key.0),
            parent: Some(match cut {
                true => Rc::new(parent.without_ancestors()),
                false => Rc::clone(parent),
            }),
            parent_image: Some(parent.image()),
            depth: if cut { 1 } else { parent.depth + 1 },
            session: parent.session.clone(),
            ..Node::orphan(key, None)
        };
        node.inherit(parent);
        node
    }

    fn without_ancestors(&self) -> Node {
        let copy = Node::orphan(self.key, self.ppid);
        copy.set_image(self.image());
        copy
    }

    /// Takes over what a process gets from the one that creates it.
    pub fn inherit(&self, creator: &Node) {
        self.set_image(creator.image());
        *self.v1_path.borrow_mut() = creator.v1_path.borrow().clone();
        self.v1_path_read.set(creator.v1_path_read.get());
        self.tracked
            .set(self.tracked.get() || creator.tracked.get());
    }

    pub fn image(&self) -> Rc<Image> {
        Rc::clone(&self.image.borrow())
    }

    pub fn set_image(&self, image: Rc<Image>) {
        *self.image.borrow_mut() = image;
    }

    pub fn comm(&self) -> Ref<'_, str> {
        Ref::map(self.image.borrow(), |image| image.comm.as_str())
    }

    /// Its parent, grandparent and so on, as far as they are known.
    pub fn ancestors(&self) -> Vec<ProcessKey> {
        let mut keys = Vec::new();
        let mut next = self.parent.as_ref();
        while let Some(node) = next {
            keys.push(node.key);
            next = node.parent.as_ref();
        }
        keys
    }
}

/// Whether two start times are the same process': those in /proc are rounded down to a tick.
pub fn same_start(a: u64, b: u64) -> bool {
    a == b || a.abs_diff(b) < tick_ns()
}
