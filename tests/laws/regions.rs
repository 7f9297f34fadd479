//! Laws 4 and 5: what a process cannot write (or read).

use crate::support::board::Board;
use crate::support::fault::Fault;
use crate::support::mechanism_and_spare;
use crashbed::{Cause, Daemon, Declaration, KIB, MIB, Outcome, Peer, Returns, Root, Tx};
use crashbed_policies::CheckpointResume;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Where `victim` and `hidden` put the addresses of their states, then their values.
const ADDRESSES: [usize; 2] = [0, 1];
const READY: usize = 2;
const TRIED: usize = 3;
/// Where `victim` puts the address of its cache.
const CACHE: usize = 4;

fn wait_for(board: &Board, slot: usize, value: u64) {
    for _ in 0..20_000 {
        if board[slot].load(SeqCst) >= value {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("slot {slot} never came to {value}");
}

/// A daemon that shows where its state lies and looks at it again when the others have tried.
fn victim(board: Board, slot: usize) -> impl Fn(&mut Daemon<u64>) -> crashbed::Result<()> {
    move |daemon| {
        let outcome = daemon.transaction(CheckpointResume, |tx, state| {
            *state = 1234;
            let mut cache = tx.cache::<u64>("cache")?;
            cache[0] = 1234;
            Ok(cache.as_ptr() as u64)
        })?;
        let Outcome::Done(cache) = outcome else { panic!("{outcome:?}") };
        board[CACHE].store(cache, SeqCst);
        board[ADDRESSES[slot]].store(std::ptr::from_ref(daemon.state()) as u64, SeqCst);
        board[READY].fetch_add(1, SeqCst);
        wait_for(&board, TRIED, 1);
        assert_eq!(*daemon.state(), 1234, "a foreign write arrived");
        assert_eq!(daemon.cache::<u64>("cache")?[0], 1234, "a foreign write arrived");
        Ok(())
    }
}

fn cached(declaration: Declaration) -> Declaration {
    declaration.cache("cache", 4 * KIB, Returns::AsItWas)
}

/// All that there is of other daemons' regions: the visible one's state and ledger, to be read.
const READABLE: [&str; 2] = ["crashbed-victim-ledger r--s", "crashbed-victim-state r--s"];

/// What is mapped of other daemons' regions here, and how.
fn foreign() -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc/self/maps");
    let mut found: Vec<String> = maps
        .lines()
        .filter_map(|line| {
            let permissions = line.split_whitespace().nth(1)?;
            let name = line.split("memfd:").nth(1)?.split_whitespace().next()?;
            let is_foreign = name.starts_with("crashbed-victim") || name.starts_with("crashbed-hidden");
            is_foreign.then(|| format!("{name} {permissions}"))
        })
        .collect();
    found.sort();
    found
}

/// What happens to a transaction that does `what`: the fault's address, `None` where nothing faults.
fn fault_of(daemon: &mut Daemon<u64>, what: impl Fn() + Sync) -> crashbed::Result<Option<u64>> {
    let outcome = daemon.transaction(CheckpointResume, |tx, _| {
        if tx.crash().is_none() {
            what();
        }
        Ok(())
    })?;
    assert_eq!(outcome, Outcome::Done(()));
    Ok(daemon.report().recoveries.first().map(|recovery| match recovery.crash.cause {
        Cause::Signal { signal: libc::SIGSEGV, address, .. } => address,
        other => panic!("{other:?}"),
    }))
}

#[allow(clippy::multiple_unsafe_ops_per_block)] // One instruction.
fn write(address: u64) {
    // SAFETY: the address is a number in a state of type u64, or faults.
    unsafe { (address as *mut u64).write_volatile(5) };
}

fn read(address: u64) {
    // SAFETY: the address is a number in a state of type u64, or faults.
    std::hint::black_box(unsafe { (address as *const u64).read_volatile() });
}

pub(crate) fn foreign_writes() -> crashbed::Result<()> {
    let board = Board::new();
    Root::new()
        .declare(cached(Declaration::new("victim", MIB)), victim(board, 0))
        .declare(cached(Declaration::new("hidden", MIB).hidden()), victim(board, 1))
        .daemon("writer", MIB, |daemon: &mut Daemon<u64>| {
            wait_for(&board, READY, 2);
            let [seen, hidden] = ADDRESSES.map(|slot| board[slot].load(SeqCst));
            let peer: Peer<u64> = daemon.peer("victim")?;
            assert_eq!(daemon.read(&peer, Duration::from_secs(5), |value| *value)?, 1234);
            assert!(daemon.peer::<u64>("hidden").is_err_and(|error| error.to_string().contains("hidden")));
            assert!(daemon.peer::<i64>("victim").is_err_and(|error| error.to_string().contains("another type")));

            assert_eq!(foreign(), READABLE, "in a daemon");
            fault_of(daemon, || assert_eq!(foreign(), READABLE, "in a transaction"))?;
            if daemon.restarts() == 0 {
                Fault::Kill.strike();
            }
            assert_eq!(fault_of(daemon, || read(seen))?, None, "foreign regions can be read");
            assert_eq!(fault_of(daemon, || write(seen))?, Some(seen));
            assert_eq!(fault_of(daemon, || write(hidden))?, Some(hidden));
            assert_eq!(fault_of(daemon, || read(hidden))?, Some(hidden));
            let cache = board[CACHE].load(SeqCst);
            assert_eq!(fault_of(daemon, || write(cache))?, Some(cache));
            assert_eq!(fault_of(daemon, || read(cache))?, Some(cache));
            let protect_and_write = || {
                let page = seen & !4095;
                // SAFETY: refused, which is what is being tested; else it changes no byte.
                let protected = unsafe { libc::mprotect(page as *mut _, 4096, libc::PROT_READ | libc::PROT_WRITE) };
                assert_eq!(protected, -1, "mprotect made a foreign region writable");
                write(seen);
            };
            assert_eq!(fault_of(daemon, protect_and_write)?, Some(seen));
            board[TRIED].store(1, SeqCst);
            Ok(())
        })
        .run()
}

/// The check sees a write that arrives, and its own region is a transaction's to write.
pub(crate) fn own_write() -> crashbed::Result<()> {
    Root::new()
        .daemon("d", MIB, |daemon: &mut Daemon<u64>| {
            let own = std::ptr::from_ref(daemon.state()) as u64;
            assert_eq!(fault_of(daemon, || write(own))?, None);
            assert_eq!(*daemon.state(), 5);
            Ok(())
        })
        .run()
}

/// The region's piece of address space, and what is mapped in it: start, end, writable, name.
fn mappings() -> Vec<(usize, usize, bool, String)> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc/self/maps");
    let number = |text: &str| usize::from_str_radix(text, 16).expect("an address");
    maps.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            let writable = fields.next()?.contains('w');
            Some((number(start), number(end), writable, fields.nth(3).unwrap_or("").to_owned()))
        })
        .filter(|(start, ..)| (0x2000_0000_0000..0x2000_4000_0000).contains(start))
        .collect()
}

fn declaration() -> Declaration {
    Declaration::new("d", MIB)
        .mechanism(mechanism_and_spare().0)
        .spare(mechanism_and_spare().1)
        .scratch(MIB)
        .heartbeat(Duration::from_millis(500))
        .threads(1, 64 << 10)
}

fn numbers(count: u64) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// Commits two times, then writes `pattern` over all that this incarnation can write and crashes by `fault`.
fn scribble(tx: &mut Tx<'_>, state: &mut Vec<String>, patterns: &dyn Fn(usize) -> u8, fault: Fault) {
    *state = numbers(300);
    // Listed before the heap is gone.
    let mut targets: Vec<(usize, usize)> = Vec::with_capacity(64);
    targets.extend(mappings().iter().filter(|map| map.2).map(|map| (map.0, map.1)));
    assert!(targets.len() >= 4, "state, stage, mailbox, scratch: {targets:?}");
    assert_eq!(tx.operations(), 0);
    let targets = std::mem::ManuallyDrop::new(targets);
    // The list itself lives in what is written over: it goes to the stack first.
    let mut stack = [(0, 0); 64];
    stack[..targets.len()].copy_from_slice(&targets);
    for (start, end) in stack {
        for at in start..end {
            // SAFETY: mapped and writable; this process uses nothing of it again before it crashes.
            unsafe { (at as *mut u8).write_volatile(patterns(at)) };
        }
    }
    fault.strike();
}

/// The successor finds the last commit, whatever its predecessor wrote over.
pub(crate) fn scribbles() -> crashbed::Result<()> {
    let patterns: [&(dyn Fn(usize) -> u8 + Sync); 4] =
        [&|_| 0xff, &|_| 0, &|at| (at.wrapping_mul(0x9e37_79b9) >> 13).to_le_bytes()[0], &|at| at.to_le_bytes()[0]];
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<String>>| {
            for (round, pattern) in patterns.iter().enumerate() {
                for fault in [Fault::NullWrite, Fault::Kill, Fault::Illegal] {
                    daemon.zero()?;
                    let outcome = daemon.transaction(CheckpointResume, |tx, state| {
                        if tx.crash().is_none() {
                            *state = numbers(100);
                            tx.commit()?;
                            *state = numbers(200);
                            tx.commit()?;
                        }
                        // It may have returned from that commit.
                        if tx.crash().is_none() {
                            scribble(tx, state, pattern, fault);
                        }
                        assert!(*state == numbers(200), "not the last commit: {} texts", state.len());
                        state.push("after".to_owned());
                        Ok(())
                    })?;
                    assert_eq!(outcome, Outcome::Done(()), "pattern {round}, {fault:?}");
                    assert_eq!(daemon.report().crashes, 1, "pattern {round}, {fault:?}");
                    let mut expected = numbers(200);
                    expected.push("after".to_owned());
                    assert_eq!(*daemon.state(), expected);
                }
            }
            Ok(())
        })
        .run()
}

/// What the successor is restored from is not mapped in a transaction, and its descriptors do not help.
pub(crate) fn commits_are_out_of_reach() -> crashbed::Result<()> {
    const KEPT: [&str; 3] = ["crashbed-d-backing", "crashbed-d-ledger", "crashbed-d-daemon"];
    let mapped = || {
        let maps = mappings();
        KEPT.iter().filter(|name| maps.iter().any(|map| map.3.contains(**name))).count()
    };
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<String>>| {
            assert_eq!(mapped(), KEPT.len(), "the check itself: they are mapped in a daemon");
            let outcome = daemon.transaction(CheckpointResume, |_, _| {
                assert_eq!(mapped(), 0, "in a transaction");
                let mut tried = 0;
                for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
                    let Ok(target) = std::fs::read_link(entry.path()) else { continue };
                    let target = target.to_string_lossy().into_owned();
                    if ["crashbed-d-state", "crashbed-d-backing", "crashbed-d-ledger"]
                        .iter()
                        .any(|n| target.contains(n))
                    {
                        use std::io::Write;
                        let mut file = std::fs::OpenOptions::new().write(true).open(entry.path())?;
                        assert!(file.write(&[1]).is_err(), "{target} can be written through its descriptor");
                        assert!(file.set_len(0).is_err(), "{target} can be truncated");
                        tried += 1;
                    }
                }
                assert_eq!(tried, 3, "their descriptors are there");
                Ok(())
            })?;
            assert_eq!(outcome, Outcome::Done(()));
            Ok(())
        })
        .run()
}

/// The check can fail: damage that is committed is found.
pub(crate) fn commits_what_it_scribbled() -> crashbed::Result<()> {
    Root::new()
        .declare(declaration(), |daemon: &mut Daemon<Vec<String>>| {
            daemon.transaction(CheckpointResume, |tx, state| {
                if tx.crash().is_none() {
                    *state = numbers(200);
                    // SAFETY: the text stays UTF-8: digits take the place of digits.
                    unsafe { state[150].as_bytes_mut() }.fill(b'7');
                    tx.commit()?;
                    Fault::Kill.strike();
                }
                Ok(())
            })?;
            assert!(*daemon.state() == numbers(200), "not the last commit");
            Ok(())
        })
        .run()
}
