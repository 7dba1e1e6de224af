//! What makes another identity of a process when it changes.

use std::rc::Rc;

use super::image::Image;
use crate::capture::event::Owner;
use crate::model::{Container, Executable};

/// The parts of an identity that other tables know.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    pub cgroup: Option<Rc<str>>,
    pub container: Option<Rc<Container>>,
    /// The image's.
    pub executable: Option<Rc<Executable>>,
    /// The user's.
    pub account: u32,
}

/// What makes another [`Process`](crate::model::Process) when it changes.
#[derive(Debug)]
pub struct Identity {
    comm: String,
    uid: u32,
    euid: u32,
    login_uid: Option<u32>,
    cgroup: Option<Rc<str>>,
    container: Option<Rc<Container>>,
    netns: u32,
    /// Each exec makes another one.
    image: Rc<Image>,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Identity) -> bool {
        let parts = |i: &Identity| {
            let container = i.container.as_ref().map(|c| c.serial);
            (i.uid, i.euid, i.login_uid, i.netns, container)
        };
        // As it is held here, no later image can have the same address.
        self.is_of_image_of(other)
            && parts(self) == parts(other)
            && (&self.comm, &self.cgroup) == (&other.comm, &other.cgroup)
    }
}

impl Identity {
    /// Whether no exec lies between them.
    pub fn is_of_image_of(&self, other: &Identity) -> bool {
        Rc::ptr_eq(&self.image, &other.image)
    }

    pub fn new(owner: &Owner, place: &Surroundings, image: Rc<Image>) -> Identity {
        Identity {
            comm: owner.comm.clone(),
            uid: owner.uid,
            euid: owner.euid,
            login_uid: owner.login_uid,
            cgroup: place.cgroup.clone(),
            container: place.container.clone(),
            netns: owner.netns,
            image,
        }
    }
}
