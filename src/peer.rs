//! Reading another daemon's region: whole commits only.

use crate::error::{Error, Result};
use crate::gate;
use crate::recoverable::Recoverable;
use crate::region::Region;
use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Another daemon's region, as [`Daemon::peer`](crate::Daemon::peer) finds it.
pub struct Peer<S> {
    pub(crate) regions: Arc<[Region]>,
    pub(crate) index: usize,
    pub(crate) state: PhantomData<fn() -> S>,
}

impl<S: Recoverable> Peer<S> {
    pub(crate) fn find(regions: &Arc<[Region]>, own: usize, name: &str) -> Result<Self> {
        let none = |why| Error::Peer { name: name.to_owned(), why };
        let index = regions
            .iter()
            .position(|region| region.declaration.name == name)
            .ok_or_else(|| none("no daemon is declared by this name"))?;
        if index == own {
            return Err(none("it is the daemon's own: read it by Daemon::state"));
        }
        if regions[index].declaration.hidden {
            return Err(none("it is declared hidden"));
        }
        if regions[index].state_type != TypeId::of::<S>() {
            return Err(none("its state has another type"));
        }
        Ok(Self { regions: Arc::clone(regions), index, state: PhantomData })
    }

    /// Calls `read` with the last commit of the other daemon's state, and keeps that daemon from changing it
    /// meanwhile. Waits at most `within` for a whole commit.
    ///
    /// While `read` runs, the other daemon's commits wait. One that takes longer than [`LEASE`](crate::LEASE) while a
    /// commit waits is treated like a process without a heartbeat: the reading process is killed. Clone out what is
    /// needed, and compute on the clone.
    pub(crate) fn read<R>(&self, within: Duration, read: impl FnOnce(&S) -> R) -> Result<R> {
        let region = &self.regions[self.index];
        gate::read(region, within, || {
            let root = region.head().root.load(Ordering::Acquire);
            // SAFETY: the gate says that the state part is a whole commit of that daemon, and keeps it so; a whole
            // commit has a root of type S, as was checked by its TypeId when the peer was found.
            read(unsafe { &*(root as *const S) })
        })
    }
}
