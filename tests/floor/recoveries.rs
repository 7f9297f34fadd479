//! Whole recoveries, in a daemon.

use crate::has_children;
use crate::support::{LIMIT, argument, declaration, start};
use crashbed::{BareNotice, BareStart, Daemon, Error, Lap, MechanismKind, Outcome, Recoverable, Root};
use crashbed_policies::CheckpointResume;
use std::time::Duration;

const WORK: Duration = Duration::from_micros(500);
const DEADLINE: Duration = Duration::from_millis(20);
const NOTICES: [BareNotice; 4] =
    [BareNotice::Signal, BareNotice::Waitpid, BareNotice::Kill, BareNotice::Heartbeat(DEADLINE)];
const STARTS: [BareStart; 3] = [BareStart::Cold, BareStart::Warm, BareStart::Hot];

#[derive(Default, Recoverable)]
pub(crate) struct Words {
    all: Vec<String>,
}

/// All ways of a lap, between two transactions.
pub(crate) fn laps() -> crashbed::Result<()> {
    in_daemon(|daemon| {
        add(daemon, "first")?;
        let live_bytes = daemon.live_bytes();
        let processors = processors();
        for notice in NOTICES {
            let mut faults = Vec::new();
            for start in STARTS.into_iter().cycle().take(9) {
                let lap = lap(daemon, notice, start)?;
                let least = if let BareNotice::Heartbeat(deadline) = notice { deadline } else { Duration::ZERO };
                let what = format!("{notice:?} {start:?}: {lap:?}");
                assert!(lap.hand_over_ns > 0 && u128::from(lap.hand_over_ns) >= least.as_nanos(), "{what}");
                assert!(lap.recovery_ns >= lap.hand_over_ns && lap.recovery_ns < 5_000_000_000, "{what}");
                assert!(daemon.state().all == ["first"], "{what}: the state has changed");
                assert_eq!(daemon.live_bytes(), live_bytes, "{what}: the heap has changed");
                assert_eq!(self::processors(), processors, "{what}: the daemon was drawn and not let go");
                assert!(!has_children(), "{what}: a child is left");
                faults.push(lap.faults);
            }
            for later in faults.chunks(STARTS.len()) {
                let [cold, warm, hot] = later else { panic!("three starts") };
                // What was faulted in ahead is not faulted in again.
                assert!(warm < cold && hot < cold, "{notice:?}: {faults:?}");
                assert!(copied_pages_are_counted(*warm) && copied_pages_are_counted(*hot), "{notice:?}: {faults:?}");
            }
        }
        add(daemon, "second")?;
        assert_eq!(daemon.state().all, ["first", "second"]);
        Ok(())
    })
}

/// A lap whose first operation writes to two pages or more.
fn lap(daemon: &mut Daemon<Words>, notice: BareNotice, start: BareStart) -> crashbed::Result<Lap> {
    daemon.floor(notice, start, WORK, |tx, words| {
        assert_eq!(words.all, ["first"], "the successor did not find the last commit");
        words.all[0].push_str(" changed");
        words.all.push(tx.scratch(|| "added".repeat(2000)));
    })
}

/// A floor bounds what the engine does, which copies back no page that holds nothing, and under dirty pages none that was not
/// written.
pub(crate) fn no_page_is_copied_back_that_need_not_be() -> crashbed::Result<()> {
    const STATE: usize = 32 * crashbed::MIB;
    const FILLED: usize = STATE / 2;
    /// Heads of the state and of its heap, and what else is in use of an empty one.
    const FEW: u64 = 16;
    let mechanism: MechanismKind = argument().parse().expect("a mechanism");
    let declaration = crashbed::Declaration::new("d", STATE).mechanism(mechanism);
    let work = move |daemon: &mut Daemon<Words>| {
        for filled in [0, FILLED] {
            add(daemon, &"f".repeat(filled))?;
            let lap = daemon.floor(BareNotice::Signal, BareStart::Cold, WORK, |_, _| ())?;
            let least = if mechanism == MechanismKind::FullCopy { filled as u64 / 4096 } else { 0 };
            let most = if mechanism == MechanismKind::FullCopy { least + FEW } else { 0 };
            assert!((least..=most).contains(&lap.copied_pages), "{filled} bytes filled: {lap:?}, of {least} to {most}");
        }
        Ok(())
    };
    Root::new().declare(declaration, work).run()
}

/// Under copy on write the first write to a page copies it, however the successor was started; in place none is copied.
fn copied_pages_are_counted(faults: u64) -> bool {
    let mechanism: MechanismKind = argument().parse().expect("a mechanism");
    mechanism != MechanismKind::CopyOnWrite || faults >= 2
}

pub(crate) fn first_operation_fails() -> crashbed::Result<()> {
    in_daemon(|daemon| {
        add(daemon, "first")?;
        for (notice, start) in NOTICES.into_iter().flat_map(|notice| STARTS.map(|start| (notice, start))) {
            let what = format!("{notice:?} {start:?}");
            let panicked = daemon.floor(notice, start, WORK, |_, words: &mut Words| {
                words.all.clear();
                panic!("on purpose");
            });
            assert!(matches!(panicked, Err(Error::Floor { process: "successor", .. })), "{what}: {panicked:?}");
            let crashed = daemon.floor(notice, start, WORK, |_, words: &mut Words| {
                words.all.clear();
                std::process::abort();
            });
            let Err(error @ Error::Floor { process: "successor", .. }) = crashed else { panic!("{what}: {crashed:?}") };
            assert!(error.to_string().contains("SIGABRT"), "{what}: {error}");
            assert!(daemon.state().all == ["first"], "{what}: the state has changed");
            assert!(!has_children(), "{what}: a child is left");
        }
        add(daemon, "second")
    })
}

/// The argument is a mechanism and a start by its number.
pub(crate) fn daemon_dies() -> crashbed::Result<()> {
    let argument = argument();
    let (mechanism, start) = argument.split_once(' ').expect("a mechanism and a start");
    let start = STARTS[start.parse::<usize>().expect("a number")];
    let declaration =
        crashbed::Declaration::new("d", 2 * crashbed::MIB).mechanism(mechanism.parse().expect("a mechanism"));
    Root::new()
        .declare(declaration, |daemon: &mut Daemon<Words>| {
            if daemon.restarts() == 0 {
                add(daemon, "first")?;
                let lap = daemon.floor(BareNotice::Signal, start, WORK, |_, words: &mut Words| {
                    words.all.push("never kept".to_owned());
                    let daemon = nix::unistd::getppid();
                    nix::sys::signal::kill(daemon, nix::sys::signal::Signal::SIGKILL).expect("kill the daemon");
                    std::thread::sleep(Duration::from_secs(100));
                });
                panic!("the daemon outlived its end: {lap:?}");
            }
            assert_eq!(daemon.state().all, ["first"]);
            add(daemon, "second")?;
            println!("made again");
            Ok(())
        })
        .run()
}

pub(crate) fn a_daemon_that_dies_takes_its_lap_along() {
    for mechanism in crate::support::mechanisms() {
        for start_number in 0..STARTS.len() {
            let ended =
                start("daemon-dies", &format!("{mechanism} {start_number}")).finish(LIMIT, Duration::from_secs(2));
            assert!(ended.status.success() && ended.out.contains("made again"), "{ended:#?}");
        }
    }
}

fn in_daemon(work: impl Fn(&mut Daemon<Words>) -> crashbed::Result<()>) -> crashbed::Result<()> {
    Root::new().declare(declaration(), work).run()?;
    assert!(!has_children(), "the root has children left");
    Ok(())
}

fn add(daemon: &mut Daemon<Words>, word: &str) -> crashbed::Result<()> {
    let outcome = daemon.transaction(CheckpointResume, |tx, words| {
        words.all.push(word.to_owned());
        tx.done();
        Ok(())
    })?;
    assert_eq!(outcome, Outcome::Done(()));
    Ok(())
}

/// The processors that this process may run on.
fn processors() -> Vec<usize> {
    // SAFETY: all-zero is a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is writable for its size.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) }, 0);
    // SAFETY: the numbers are those of the set's bits.
    (0..8 * size_of_val(&set)).filter(|&processor| unsafe { libc::CPU_ISSET(processor, &set) }).collect()
}

/// A lap of each start, for a machine that refuses something.
pub(crate) fn lap_of_each_start() -> crashbed::Result<()> {
    in_daemon(|daemon| {
        add(daemon, "first")?;
        for start in STARTS {
            let lap = lap(daemon, BareNotice::Signal, start)?;
            assert!(lap.hand_over_ns > 0 && lap.recovery_ns >= lap.hand_over_ns, "{start:?}: {lap:?}");
        }
        Ok(())
    })
}
