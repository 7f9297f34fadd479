//! Every fault of the table, done for real, and what the injector's page says of it afterwards.
//!
//! A test process has threads, and must not fork. So each test starts this binary again for one scene alone; that
//! process makes an injector, forks a victim, and compares what `waitpid(2)` and the page say with the fault's row.

use crashbed_experiments::faults::{
    Counts, Ending, Fault, Injected, Injector, Kind, Live, Plan, PlanError, PointName, Site, Stop, TABLE, Target,
    Trigger,
};
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

/// Names the scene for the process that plays it: a fault's name, or one of [`scene`]'s own.
const SCENE: &str = "CRASHBED_TEST_SCENE";

/// What a victim that can still say so exits with.
const PANICKED: i32 = 101;
const GOT_ERROR: i32 = 102;
const RAN_ON: i32 = 103;

/// A victim's operations.
const OPERATIONS: u64 = 10;
/// The operation that the plans strike at.
const STRUCK: u64 = 3;
/// How long a process that should be silent is watched.
const WATCH: Duration = Duration::from_millis(100);
/// How long one that should end has time to, on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Stands for another daemon's region: the linker puts constants into pages that are read-only.
static FOREIGN: [u8; 64] = [7; 64];

struct State {
    numbers: Vec<u64>,
    hoard: Vec<Vec<u8>>,
}

impl Target for State {
    fn live(&self, visit: &mut dyn FnMut(Live)) {
        visit(Live::of(&self.numbers[..]));
    }
    fn hoard(&mut self) -> &mut Vec<Vec<u8>> {
        &mut self.hoard
    }
}

/// Plays a scene in a fresh process of this binary, alone; says what went wrong.
fn play(name: &str) -> Result<(), String> {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new(program)
        .args(["scene", "--exact", "--nocapture", "--test-threads=1"])
        .env(SCENE, name)
        .output()
        .expect("this program starts");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    // A victim that escaped would report as well: only one "1 passed" is right.
    if output.status.success() && said[0].matches("1 passed").count() == 1 {
        return Ok(());
    }
    Err(format!("{name}: {}\n{}{}", output.status, said[0], said[1]))
}

/// Forks a victim that works from operation `first` on; the rest of its life is the injector's to decide.
fn victim(injector: &Injector, first: u64) -> Pid {
    // SAFETY: this process plays one scene; the harness's other thread, if it has one, only waits for it, so that no
    // lock is held that the child needs.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            prepare_to_crash();
            let status = match catch_unwind(AssertUnwindSafe(|| work(injector, first))) {
                Err(_) => PANICKED,
                Ok(Err(_)) => GOT_ERROR,
                Ok(Ok(())) => RAN_ON,
            };
            // SAFETY: _exit(2) ends the child without the harness's own way out.
            unsafe { libc::_exit(status) }
        }
    }
}

/// No core file, no handler of the Rust runtime in the way, a bounded memory to exhaust.
fn prepare_to_crash() {
    set_dumpable(false).expect("a process may always give up its core dump");
    for (resource, soft) in [(Resource::RLIMIT_CORE, 1), (Resource::RLIMIT_AS, 256 << 20)] {
        let (_, hard) = getrlimit(resource).expect("getrlimit");
        setrlimit(resource, hard.min(soft), hard).expect("a soft limit may be set below the hard one");
    }
    for number in [Signal::SIGSEGV, Signal::SIGBUS] {
        // SAFETY: the default disposition runs no code of this process.
        unsafe { signal(number, SigHandler::SigDfl) }.expect("SIGSEGV and SIGBUS may be reset");
    }
}

/// What a workload does, as far as the injector is concerned.
fn work(injector: &Injector, first: u64) -> Result<(), Injected> {
    let mut state = State { numbers: (0..1000).collect(), hoard: Vec::new() };
    for operation in first..OPERATIONS {
        injector.before(operation, &mut state)?;
        injector.point("commit-staged");
        injector.point("restore-transaction");
        injector.between(operation, &mut state)?;
    }
    Ok(())
}

/// How the victim ended, in the words of the table. One that asks to be killed is; so is one that is still there after
/// `watch`.
fn ending(injector: &Injector, victim: Pid, watch: Duration) -> Ending {
    let deadline = Instant::now() + watch;
    let mut stopped = false;
    while Instant::now() < deadline {
        injector.kill_who_asked();
        match waitpid(victim, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)).expect("waitpid") {
            WaitStatus::StillAlive => std::thread::sleep(Duration::from_millis(1)),
            WaitStatus::Stopped(_, Signal::SIGSTOP) => stopped = true,
            WaitStatus::Exited(_, PANICKED) => return Ending::Panic,
            WaitStatus::Exited(_, GOT_ERROR) => return Ending::Error,
            WaitStatus::Exited(_, RAN_ON) => return Ending::RunsOn,
            WaitStatus::Exited(_, status) => return Ending::Exit(status),
            WaitStatus::Signaled(_, signal, core) => {
                assert!(!core, "the victim left a core file");
                return Ending::Signal(signal as i32);
            }
            other => panic!("the victim neither runs nor ended: {other:?}"),
        }
    }
    kill(victim, Signal::SIGKILL).expect("the victim has not been waited for");
    let killed = waitpid(victim, None).expect("waitpid");
    assert_eq!(killed, WaitStatus::Signaled(victim, Signal::SIGKILL, false));
    Ending::Silent { stopped }
}

/// Runs one incarnation from `first` on, to its expected end.
fn incarnation(injector: &Injector, plan: &Plan, first: u64) -> (Pid, Ending) {
    let watch = if matches!(plan.ending(), Ending::Silent { .. }) { WATCH } else { PATIENCE };
    let victim = victim(injector, first);
    (victim, ending(injector, victim, watch))
}

fn point(name: &str, pass: u64) -> Trigger {
    Trigger::Point { name: PointName::new(name).expect("a short name"), pass }
}

/// A trigger that strikes `fault` at [`STRUCK`].
fn trigger(fault: Fault) -> Trigger {
    match fault {
        Fault::CrashDuringCommit => point("commit", STRUCK),
        Fault::CrashDuringRestore => point("restore", STRUCK),
        _ => Trigger::Operation(STRUCK),
    }
}

fn armed(plan: &Plan) -> Injector {
    let injector = Injector::new().expect("the kernel gives two pages");
    injector.aim(&FOREIGN);
    injector.arm(plan).expect("a plan that can strike");
    injector
}

/// One fault strikes one victim: its end is the table's, and the page knows all about it.
fn strikes_as_its_row_says(fault: Fault) {
    let plan = Plan::new(fault, trigger(fault), 42).expect("a plan that can strike");
    let injector = armed(&plan);
    let (victim, ended) = incarnation(&injector, &plan, 0);
    assert_eq!(ended, plan.ending());

    let planned = 1;
    assert_eq!(injector.counts(), Counts { planned, injected: 1, activated: 1 });
    let strike = injector.strike(0).expect("it struck");
    assert_eq!((strike.operation, strike.process), (STRUCK, victim.as_raw().unsigned_abs()));
    assert!(strike.fault_ns > 0);
    let hits_memory = fault.row().kind == Kind::Memory || fault == Fault::ForeignWrite;
    assert_eq!(strike.address != 0, hits_memory);
    assert_eq!(injector.strike(1), None);

    // The budget is used up: the successor passes, unless that is the fault.
    let (_, next) = incarnation(&injector, &plan, STRUCK);
    assert_eq!(next, if fault.repeats() { plan.ending() } else { Ending::RunsOn });
}

/// A crash loop strikes whatever operation a successor starts with, as often as planned.
fn a_crash_loop_ends_with_its_budget() {
    let plan = Plan::new(Fault::CrashLoop, Trigger::Operation(STRUCK), 1).unwrap().times(3).unwrap().by(Stop::Kill);
    let injector = armed(&plan);
    for first in [0, STRUCK, STRUCK + 1] {
        assert_eq!(incarnation(&injector, &plan, first).1, Ending::Signal(libc::SIGKILL));
    }
    assert_eq!(incarnation(&injector, &plan, STRUCK).1, Ending::RunsOn);
    assert_eq!(injector.counts(), Counts { planned: 3, injected: 3, activated: 3 });
    let operations: Vec<_> = (0..3).filter_map(|nth| injector.strike(nth)).map(|strike| strike.operation).collect();
    assert_eq!(operations, [STRUCK, STRUCK, STRUCK + 1]);
}

/// A plan that is put off by each successor strikes each of them once, where it was put off to.
fn a_plan_that_is_put_off_strikes_again_later() {
    let plan = Plan::new(Fault::Stop(Stop::NullRead), Trigger::Operation(2), 1).unwrap().times(3).unwrap();
    let injector = armed(&plan);
    for (first, at) in [(0, 2), (1, 5), (4, 9)] {
        injector.put_off(at);
        assert_eq!(incarnation(&injector, &plan, first).1, Ending::Signal(libc::SIGSEGV));
    }
    injector.put_off(3);
    assert_eq!(incarnation(&injector, &plan, 3).1, Ending::RunsOn);
    assert_eq!(injector.counts(), Counts { planned: 3, injected: 3, activated: 3 });
    let operations: Vec<_> = (0..3).filter_map(|nth| injector.strike(nth)).map(|strike| strike.operation).collect();
    assert_eq!((operations, injector.struck()), (vec![2, 5, 9], 3));
}

/// A poisoned operation strikes each time it is met; a successor that skips it is safe.
fn poison_can_be_skipped() {
    let plan = Plan::new(Fault::Poison, Trigger::Operation(STRUCK), 1).unwrap();
    let injector = armed(&plan);
    for _ in 0..5 {
        assert_eq!(incarnation(&injector, &plan, 0).1, plan.ending());
    }
    assert_eq!(incarnation(&injector, &plan, STRUCK + 1).1, Ending::RunsOn);
    assert_eq!(injector.counts(), Counts { planned: 5, injected: 5, activated: 5 });
}

/// Each stop can end a process at each of its sites.
fn stops_strike_at_every_site() {
    for stop in [Stop::NullWrite, Stop::Kill] {
        for site in [Site::Before, Site::Between, Site::Point] {
            let fault = Fault::Stop(stop);
            let plan = match site {
                Site::Point => Plan::new(fault, point("commit-staged", 2), 1).unwrap(),
                site => Plan::new(fault, Trigger::Operation(STRUCK), 1).unwrap().at(site).unwrap(),
            };
            let injector = armed(&plan);
            assert_eq!(incarnation(&injector, &plan, 0).1, plan.ending(), "{site}");
            assert_eq!(injector.counts().activated, 1, "{site}");
        }
    }
}

/// A fault that comes back is injected, not activated: a stopped process that someone continues.
fn a_fault_without_effect_is_not_activated() {
    let plan = Plan::new(Fault::Stop(Stop::Stop), Trigger::Operation(STRUCK), 1).unwrap();
    let injector = armed(&plan);
    let victim = victim(&injector, 0);
    let status = waitpid(victim, Some(WaitPidFlag::WUNTRACED)).expect("waitpid");
    assert_eq!(status, WaitStatus::Stopped(victim, Signal::SIGSTOP));
    assert_eq!(injector.counts(), Counts { planned: 1, injected: 1, activated: 1 });
    kill(victim, Signal::SIGCONT).expect("the victim is there");
    assert_eq!(ending(&injector, victim, PATIENCE), Ending::RunsOn);
    assert_eq!(injector.counts(), Counts { planned: 1, injected: 1, activated: 0 });
}

/// A trigger that is never reached leaves the fault planned and nothing else; so does a disarmed injector.
fn what_never_struck_is_not_injected() {
    let planned = Counts { planned: 1, injected: 0, activated: 0 };
    let plan = Plan::new(Fault::Stop(Stop::NullRead), Trigger::Operation(OPERATIONS), 1).unwrap();
    let injector = armed(&plan);
    assert_eq!(incarnation(&injector, &plan, 0).1, Ending::RunsOn);
    assert_eq!((injector.counts(), injector.strike(0)), (planned, None));
    injector.arm(&Plan::new(Fault::Stop(Stop::NullRead), Trigger::Operation(0), 1).unwrap()).unwrap();
    injector.disarm();
    assert_eq!(incarnation(&injector, &plan, 0).1, Ending::RunsOn);
    assert_eq!(injector.counts(), planned);
}

/// A latent damage runs on, and then stops whoever still has it; a state that was made anew has not.
fn a_latent_damage_comes_back_while_the_state_holds_it() {
    const LONG: u64 = 200;
    let plan = Plan::new(Fault::LatentDamage, Trigger::Operation(STRUCK), 42).unwrap().by(Stop::NullRead);
    let injector = armed(&plan);
    let mut state = State { numbers: (0..1000).collect(), hoard: Vec::new() };
    let sound = state.numbers.clone();
    for operation in 0..=STRUCK {
        injector.before(operation, &mut state).unwrap();
    }
    let damaged = state.numbers.clone();
    let differing = damaged.iter().zip(&sound).filter(|(a, b)| a != b).count();
    assert!((1..=2).contains(&differing), "eight bytes in a row");
    let mut goes_on = |from: u64, numbers: &[u64]| {
        // In its place, so that what lies there is what the state holds.
        state.numbers.copy_from_slice(numbers);
        // SAFETY: as in `victim`.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => ending(&injector, child, PATIENCE),
            ForkResult::Child => {
                prepare_to_crash();
                for operation in from..LONG {
                    let _ = injector.before(operation, &mut state);
                }
                // SAFETY: as in `victim`.
                unsafe { libc::_exit(RAN_ON) }
            }
        }
    };
    for _ in 0..2 {
        assert_eq!(goes_on(STRUCK + 1, &damaged), Ending::Signal(libc::SIGSEGV));
    }
    let second = injector.strike(1).expect("it came back").operation;
    assert!((STRUCK + 1..=STRUCK + 100).contains(&second), "{second}");
    // From the beginning, with the damage: not before the operation that met it first. Without: never.
    assert_eq!(goes_on(0, &damaged), Ending::Signal(libc::SIGSEGV));
    assert_eq!(injector.strike(3).unwrap().operation, second);
    assert_eq!(goes_on(0, &sound), Ending::RunsOn);
    assert_eq!(injector.counts(), Counts { planned: 4, injected: 4, activated: 4 });
}

const SCENES: &[(&str, fn())] = &[
    ("a latent damage comes back while the state holds it", a_latent_damage_comes_back_while_the_state_holds_it),
    ("a crash loop ends with its budget", a_crash_loop_ends_with_its_budget),
    ("a plan that is put off strikes again later", a_plan_that_is_put_off_strikes_again_later),
    ("poison can be skipped", poison_can_be_skipped),
    ("stops strike at every site", stops_strike_at_every_site),
    ("a fault without effect is not activated", a_fault_without_effect_is_not_activated),
    ("what never struck is not injected", what_never_struck_is_not_injected),
];

/// Not a test by itself: it plays the scene that the environment names, in the process that a test started.
#[test]
fn scene() {
    let Ok(name) = std::env::var(SCENE) else {
        return;
    };
    match SCENES.iter().find(|(scene, _)| *scene == name) {
        Some((_, play)) => play(),
        None => strikes_as_its_row_says(name.parse().expect("a scene or a fault")),
    }
}

#[test]
fn every_fault_of_the_table_strikes_as_its_row_says() {
    let wrong: Vec<_> = TABLE.iter().filter_map(|row| play(row.name).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_scene_plays() {
    let wrong: Vec<_> = SCENES.iter().filter_map(|(name, _)| play(name).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_foreign_write_needs_a_foreign_region() {
    let plan = Plan::new(Fault::ForeignWrite, Trigger::Operation(0), 1).unwrap();
    assert_eq!(Injector::new().unwrap().arm(&plan), Err(PlanError::NoForeignRegion));
}
