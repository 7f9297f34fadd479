//! The root, as a program declares it: owns all memory, forks the daemons, and never crashes itself. What it does while
//! they run is in `tree.rs`.
//!
//! It has one thread and does next to nothing: between two events it sleeps in `ppoll`. What has threads of its own
//! (progress, pages, network) is another process, which starts the root by exec.

use crate::daemon::Daemon;
use crate::daemon_core::Core;
use crate::declaration::{self, Declaration};
use crate::error::{Error, Result};
use crate::here;
use crate::mechanism::auto;
use crate::mechanism_kind::MechanismKind;
use crate::prime;
use crate::recoverable::Recoverable;
use crate::region::{self, Region};
use crate::sys::process;
use crate::sys::signal::StopSignals;
use crate::tree::{Main, Tree};
use nix::sys::resource::Resource;
use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A process tree to be: its daemons, declared one by one, then [`run`](Self::run).
///
/// ```no_run
/// # use crashbed::{Daemon, Root, MIB};
/// # #[derive(Default, crashbed::Recoverable)] struct Index;
/// Root::new()
///     .daemon("indexer", 64 * MIB, |daemon: &mut Daemon<Index>| Ok(()))
///     .run()?;
/// # Ok::<(), crashbed::Error>(())
/// ```
#[derive(Default)]
pub struct Root<'a> {
    daemons: Vec<Declared<'a>>,
}

struct Declared<'a> {
    declaration: Declaration,
    state_type: TypeId,
    /// The daemon's life, in its own process: its state's genesis, then its closure.
    main: Main<'a>,
}

impl<'a> Root<'a> {
    /// A tree without daemons.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a daemon with a state of type `S` in a region of `bytes`, everything else as in
    /// [`Declaration::new`].
    pub fn daemon<S, F>(self, name: &str, bytes: usize, main: F) -> Self
    where
        S: Recoverable + Default,
        F: Fn(&mut Daemon<S>) -> Result<()> + 'a,
    {
        self.declare(Declaration::new(name, bytes), main)
    }

    /// Declares a daemon. `main` runs in its process: once, and again whenever the daemon was made again after a crash
    /// of its own. Its place in its work belongs in the state.
    pub fn declare<S, F>(mut self, declaration: Declaration, main: F) -> Self
    where
        S: Recoverable + Default,
        F: Fn(&mut Daemon<S>) -> Result<()> + 'a,
    {
        let main = move |core: Core, zero: bool| {
            let mut daemon = Daemon { core, state: PhantomData };
            daemon.genesis(zero)?;
            main(&mut daemon)
        };
        self.daemons.push(Declared { declaration, state_type: TypeId::of::<S>(), main: Box::new(main) });
        self
    }

    /// Commits and maps all regions, forks the daemons, and follows them until all have ended.
    ///
    /// # Errors
    /// Before anything is forked: a declaration that makes no sense, or does not fit, or a process with several
    /// threads, or one that is part of a tree itself. Afterwards: the first daemon's failure, when all have ended;
    /// [`Error::Stopped`] after SIGINT or SIGTERM. In every case nothing of the tree is left running. (Processes that the
    /// program forked by itself are its own to end; those that have ended are reaped here, also if they were there
    /// before.)
    pub fn run(self) -> Result<()> {
        let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads != 1 {
            return Err(Error::Threads { threads });
        }
        here::expect_plain()?;
        self.check()?;
        prime::prime()?;
        let stop = StopSignals::block().map_err(|errno| Error::system("blocking SIGINT and SIGTERM", errno))?;
        process::adopt_orphans(true).map_err(|errno| Error::system("adopting orphans", errno))?;
        let ended = self.map().and_then(|(regions, mains)| {
            let tree = Tree::new(&regions, mains)?;
            let ended = tree.run(stop);
            regions.iter().for_each(Region::unmap);
            ended
        });
        // A keeper whose daemon died just after it had noted the transaction's end goes by itself, a moment later.
        process::wait_for_orphans(Duration::from_millis(20));
        let _ = process::adopt_orphans(false);
        ended
    }

    fn check(&self) -> Result<()> {
        for (i, daemon) in self.daemons.iter().enumerate() {
            daemon.declaration.check()?;
            let name = &daemon.declaration.name;
            if self.daemons[..i].iter().any(|other| other.declaration.name == *name) {
                return Err(Error::Declaration { daemon: name.clone(), what: "another daemon has this name".into() });
            }
        }
        let declared: Vec<_> = self
            .daemons
            .iter()
            .map(|daemon| (daemon.declaration.name.clone(), region::bytes_declared(&daemon.declaration)))
            .collect();
        let largest = declared.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        prime::check_limit(Resource::RLIMIT_FSIZE, "the size of files (ulimit -f), bytes", largest)?;
        declaration::check_fits(&declared, declaration::available()?)
    }

    /// The regions and, in the same order, the daemons' lives.
    fn map(self) -> Result<(Arc<[Region]>, Vec<Main<'a>>)> {
        let several = self.daemons.len() > 1;
        let (mut regions, mut mains) = (Vec::<Region>::new(), Vec::new());
        for daemon in self.daemons {
            let start = region::address_after(regions.last());
            let readers = several && !daemon.declaration.hidden;
            match Region::map(daemon.declaration, start, daemon.state_type, readers) {
                Ok(mut region) => {
                    let begun = auto::begin(&mut region);
                    regions.push(region);
                    if let Err(error) = begun {
                        regions.iter().for_each(Region::unmap);
                        return Err(error);
                    }
                }
                Err(error) => {
                    regions.iter().for_each(Region::unmap);
                    return Err(error);
                }
            }
            mains.push(daemon.main);
        }
        Ok((regions.into(), mains))
    }
}

impl std::fmt::Debug for Root<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<(&str, usize, MechanismKind)> = self
            .daemons
            .iter()
            .map(|d| (d.declaration.name.as_str(), d.declaration.bytes, d.declaration.mechanism))
            .collect();
        f.debug_struct("Root").field("daemons", &names).finish()
    }
}
