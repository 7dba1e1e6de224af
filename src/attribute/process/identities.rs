//! From processes to the identities and ancestors that records refer to.

use std::rc::Rc;

use super::identity::{Identity, Surroundings};
use super::node::Node;
use crate::attribute::container::cgroup_path;
use crate::attribute::users::Users;
use crate::capture::event::Owner;
use crate::model::{Ancestor, Process};

/// Identities remembered of a process: a service that takes on the rights of its users for each
/// request has the same few again and again.
const REMEMBERED: usize = 4;

/// Makes identities and ancestors, each with a serial.
#[derive(Default)]
pub struct Identities {
    serial: u64,
    users: Users,
}

impl Identities {
    /// The identity that a process has in an event.
    pub fn identify(&mut self, node: &Node, owner: &Owner, place: Surroundings) -> Rc<Process> {
        let image = node.image();
        let identity = Identity::new(owner, &place, Rc::clone(&image));
        let mut last = node.last.borrow_mut();
        if let Some((_, process)) = last.iter().find(|(known, _)| *known == identity) {
            return Rc::clone(process);
        }
        let parent = self.ancestor(node);
        let cgroup = place.cgroup.as_deref();
        let process = Rc::new(Process {
            serial: self.next_serial(),
            pid: owner.pid,
            start_ns: owner.start_ns,
            ppid: node.ppid,
            parent_comm: node.parent.as_ref().map(|p| p.comm().to_string()),
            comm: owner.comm.clone(),
            exe: image.exe.clone(),
            exe_file: image.exe_file.clone(),
            executable: place.executable,
            cmdline: image.cmdline.clone(),
            uid: owner.uid,
            account: place.account,
            user: self.users.name(owner.uid),
            euid: owner.euid,
            euser: self.users.name(owner.euid),
            cgroup: cgroup.map(str::to_string),
            unit: cgroup.and_then(cgroup_path::unit).map(str::to_string),
            container: place.container,
            netns: (owner.netns != 0).then_some(owner.netns),
            login_uid: owner.login_uid,
            login_user: owner.login_uid.and_then(|uid| self.users.name(uid)),
            parent,
            session: Some(node.session.get()).filter(|pid| *pid != 0),
        });
        // Those before an exec don't come back.
        last.retain(|(known, _)| known.is_of_image_of(&identity));
        last.truncate(REMEMBERED - 1);
        last.push_front((identity, Rc::clone(&process)));
        process
    }

    /// The program that started a process, with its own ancestors.
    fn ancestor(&mut self, node: &Node) -> Option<Rc<Ancestor>> {
        let mut missing = Vec::new();
        let mut found = None;
        let mut next = (node.parent.as_ref(), node.parent_image.as_ref());
        while let (Some(parent), Some(image)) = next {
            if let Some((of, ancestor)) = &*parent.ancestor.borrow()
                && Rc::ptr_eq(of, image)
            {
                found = Some(Rc::clone(ancestor));
                break;
            }
            missing.push((parent, image));
            next = (parent.parent.as_ref(), parent.parent_image.as_ref());
        }
        for (parent, image) in missing.into_iter().rev() {
            let ancestor = Rc::new(Ancestor {
                serial: self.next_serial(),
                pid: parent.key.0,
                start_ns: parent.key.1,
                comm: image.comm.clone(),
                exe: image.exe.clone(),
                exe_is_trusted: image.exe_file.is_trusted(),
                cmdline: image.cmdline.clone(),
                parent: found,
            });
            *parent.ancestor.borrow_mut() = Some((Rc::clone(image), Rc::clone(&ancestor)));
            found = Some(ancestor);
        }
        found
    }

    fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}
