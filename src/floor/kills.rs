//! From a SIGKILL to the notice of it, with and without somebody who keeps the memory.
//!
//! The kernel tells of an end when the address space has been torn down, and that takes the longer the more of it was
//! touched. It is torn down by the last process that has it: a keeper shares it, sleeps, and is killed afterwards.

use super::board::Flag;
use super::failed;
use super::processes::Child;
use super::track::{Track, Words};
use crate::declaration;
use crate::error::{Error, Result};
use crate::span::Span;
use crate::sys::bare::{self, SharedMemory};
use crate::sys::event::{self, Status};
use crate::sys::memory::{self, PAGE};
use crate::sys::{Errno, clock, process, signal};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// Laps that are walked before those that count.
const WARM_UP: usize = 2;

/// What a victim says.
#[repr(C)]
struct Report {
    /// It has touched its region, and works.
    ready: Flag,
    /// Its keeper's id, written by the kernel; less than 0, and an error's number, where there is none.
    keeper: AtomicI32,
}

// SAFETY: two atomics, for which zeros are valid.
unsafe impl Words for Report {}

pub(super) fn to_pidfd(region_bytes: usize, with_keeper: bool, laps: usize) -> Result<Vec<u64>> {
    declaration::check_fits(&[("the region of a floor".into(), region_bytes as u64)], declaration::available()?)?;
    let region = SharedMemory::new(region_bytes).map_err(failed("the region of a floor"))?;
    let track = Track::<Report>::new(0)?;
    let mut measured = Vec::with_capacity(laps);
    for lap in 0..WARM_UP + laps {
        let ns = lap_of(&region, track.words(), with_keeper)?;
        if lap >= WARM_UP {
            measured.push(ns);
        }
    }
    Ok(measured)
}

fn lap_of(region: &SharedMemory, words: &Report, with_keeper: bool) -> Result<u64> {
    words.ready.lower();
    words.keeper.store(0, Ordering::Relaxed);
    let parent = process::id();
    let life = || {
        if !process::die_with_parent(parent) {
            return;
        }
        touch(region.span());
        if with_keeper && let Err(errno) = bare::keep_memory(parent, &words.keeper) {
            words.keeper.store(-(errno as i32), Ordering::Relaxed);
        }
        words.ready.raise_and_wake();
        loop {
            std::hint::spin_loop();
        }
    };
    // SAFETY: the caller has one thread.
    let victim = unsafe { Child::fork("victim", life) }?;
    let ready = until_ready(&victim, words);
    let keeper = words.keeper.load(Ordering::Relaxed);
    let _keeper = (keeper > 0).then(|| Child::adopted("keeper", keeper));
    ready?;
    if keeper < 0 {
        return Err(Error::system("making a keeper", Errno::from_raw(-keeper)));
    }
    let pidfd = event::pidfd(victim.pid()).map_err(failed("a victim's pidfd"))?;
    // So that it works, and does not still return from waking this process.
    std::thread::sleep(Duration::from_millis(1));
    let killed_ns = clock::now_ns();
    signal::send(victim.pid(), libc::SIGKILL).map_err(failed("killing a victim"))?;
    while !event::wait_readable([pidfd.as_fd()], None).map_err(failed("waiting for a pidfd"))?[0] {}
    let known_ns = clock::now_ns();
    victim.ends_by(Status::Killed(libc::SIGKILL))?;
    Ok(known_ns - killed_ns)
}

fn until_ready(victim: &Child, words: &Report) -> Result<()> {
    while !words.ready.sleep_for(Duration::from_millis(100)) {
        victim.still_runs(|| words.ready.is_raised())?;
    }
    Ok(())
}

/// Writes to every page.
fn touch(region: Span) {
    // Where the kernel can, all at once; the loop then only finds them there.
    memory::populate_to_write(region);
    for page in (region.start..region.end()).step_by(PAGE) {
        // SAFETY: the region is mapped and writable, and nothing else is in it.
        unsafe { (page as *mut u8).write_volatile(1) };
    }
}
