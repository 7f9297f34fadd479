//! Runs each scenario as a process tree of its own, and looks afterwards whether anything of it is left.
//!
//! A root has one thread, a test harness has several. So a test target brings its own `main`, which calls [`main`]:
//! named by an environment variable, it plays one *scenario* in its single thread and exits; else it runs the *tests*
//! (by `libtest-mimic`, so that `cargo test` and `cargo nextest` know them), which play scenarios by re-executing
//! this very program.
//!
//! A scenario leads a process group, to which everything that it forks belongs. The harness adopts orphans, so what is
//! left of a tree becomes its child: one `waitpid` on the group tells, without a race, that nothing is left, neither
//! running nor a zombie.

// Each test target uses its own part of this.
#![allow(dead_code)]

pub(crate) mod board;
pub(crate) mod fault;
pub(crate) mod held;
pub(crate) mod mask;
pub(crate) mod state;
pub(crate) mod step;

use crashbed::Heap;
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

// SAFETY: the scenarios take nothing owned out of a static or a lock that was filled before a fork.
#[global_allocator]
static HEAP: Heap = unsafe { Heap::new() };

const SCENARIO: &str = "CRASHBED_TEST_SCENARIO";
const ARGUMENT: &str = "CRASHBED_TEST_ARGUMENT";

/// A scenario: its name, and what it does in a process of its own.
pub(crate) type Scenario = (&'static str, fn() -> crashbed::Result<()>);
/// A test: its name, and what it does in the harness. It fails by a panic.
pub(crate) type Test = (&'static str, fn());

/// The `main` of a test target. Tests in `ignored` run with `-- --ignored` only.
pub(crate) fn main(scenarios: &[Scenario], tests: &[Test], ignored: &[Test]) -> ExitCode {
    if let Ok(name) = std::env::var(SCENARIO) {
        let play = scenarios.iter().find(|(known, _)| *known == name).map(|(_, play)| play);
        return match play.map(|play| play()) {
            Some(Ok(())) => ExitCode::SUCCESS,
            Some(Err(error)) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
            None => {
                eprintln!("no scenario `{name}`");
                ExitCode::from(2)
            }
        };
    }
    nix::sys::prctl::set_child_subreaper(true).expect("adopt orphans");
    let trial = |&(name, test): &Test| {
        Trial::test(name, move || {
            std::panic::catch_unwind(test).map_err(|payload| {
                let text = payload.downcast_ref::<String>().cloned();
                Failed::from(
                    text.or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default(),
                )
            })
        })
    };
    let ignored = ignored.iter().map(|test| trial(test).with_ignored_flag(true));
    let trials = tests.iter().map(trial).chain(ignored).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What the scenario was given, in the scenario.
pub(crate) fn argument() -> String {
    std::env::var(ARGUMENT).unwrap_or_default()
}

/// A scenario that runs.
pub(crate) struct Running {
    child: Child,
    name: String,
    folder: PathBuf,
    began: Instant,
}

/// How a scenario ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

/// Starts scenario `name` with `argument`, in a process group and an empty working folder of its own.
pub(crate) fn start(name: &str, argument: &str) -> Running {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()));
    std::fs::create_dir_all(folder.join("empty")).expect("a working folder");
    let output = |name: &str| File::create(folder.join(name)).expect("a file for the output");
    let child = Command::new(std::env::current_exe().expect("this program"))
        .env(SCENARIO, name)
        .env(ARGUMENT, argument)
        .env("RUST_BACKTRACE", "0")
        .current_dir(folder.join("empty"))
        .stdout(output("out"))
        .stderr(output("err"))
        .process_group(0)
        .spawn()
        .expect("start a scenario");
    Running { child, name: name.to_owned(), folder, began: Instant::now() }
}

impl Running {
    /// The root's process id, which is the group's too.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// What it printed so far.
    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(self.folder.join("out")).unwrap_or_default()
    }

    /// Waits until `ready` likes what was printed.
    pub(crate) fn wait_for(&mut self, what: &str, ready: impl Fn(&str) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !ready(&self.out()) {
            if Instant::now() > until || self.child.try_wait().expect("look at the scenario").is_some() {
                self.kill_group();
                panic!("scenario `{}` never printed {what}: {:?}", self.name, self.out());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The signal goes to the root alone.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: no pointer is passed; the child has not been waited for, so the id is its own.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0, "signal the scenario");
    }

    fn kill_group(&self) {
        // SAFETY: no pointer is passed; the group is the scenario's own.
        unsafe { libc::kill(-self.pid(), libc::SIGKILL) };
    }

    /// Waits for the root's end. Everything below it must have ended then, within `after`.
    pub(crate) fn finish(mut self, limit: Duration, after: Duration) -> Ended {
        let until = self.began + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait for the scenario") {
                break status;
            }
            if Instant::now() > until {
                self.kill_group();
                let _ = self.child.wait();
                self.rest(Duration::from_secs(5));
                panic!("scenario `{}` took longer than {limit:?}; it printed {:?}", self.name, self.texts());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.began.elapsed();
        let (out, err) = self.texts();
        let left = self.rest(after);
        if left {
            self.kill_group();
            self.rest(Duration::from_secs(5));
        }
        assert!(!left, "scenario `{}` left processes behind", self.name);
        let files: Vec<_> = std::fs::read_dir(self.folder.join("empty")).expect("the folder").flatten().collect();
        assert!(files.is_empty(), "scenario `{}` left files behind: {files:?}", self.name);
        let shared: Vec<_> = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten().collect();
        let shared = shared.iter().filter(|entry| entry.file_name().to_string_lossy().contains("crashbed"));
        assert_eq!(shared.count(), 0, "something is left in /dev/shm");
        let _ = std::fs::remove_dir_all(&self.folder);
        Ended { status, out, err, took }
    }

    fn texts(&self) -> (String, String) {
        (self.out(), std::fs::read_to_string(self.folder.join("err")).unwrap_or_default())
    }

    /// Whether anything of the group is left after `patience`; zombies that came to us are reaped. With a patience of
    /// zero, even a zombie is too much.
    fn rest(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            // SAFETY: a null status pointer is allowed; only orphans of this group are waited for.
            let waited = unsafe { libc::waitpid(-self.pid(), std::ptr::null_mut(), libc::WNOHANG) };
            match waited {
                -1 => return false,
                _ if patience.is_zero() => return true,
                _ if Instant::now() > until => return true,
                0 => std::thread::sleep(Duration::from_millis(1)),
                _ => {}
            }
        }
    }
}

/// How long a scenario may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Plays a scenario to its end.
pub(crate) fn play(name: &str, argument: &str) -> Ended {
    start(name, argument).finish(LIMIT, Duration::ZERO)
}

/// Plays a scenario that must succeed.
#[track_caller]
pub(crate) fn passes(name: &str, argument: &str) -> Ended {
    let ended = play(name, argument);
    assert!(ended.status.success(), "scenario `{name}` {argument}: {ended:#?}");
    ended
}

/// Plays a scenario that must fail, by an error or an assertion that says `why`: the proof that a check can fail.
#[track_caller]
pub(crate) fn fails(name: &str, argument: &str, why: &str) -> Ended {
    let ended = play(name, argument);
    assert_eq!(ended.status.code(), Some(1), "scenario `{name}` {argument} had to fail: {ended:#?}");
    assert!(ended.err.contains(why), "scenario `{name}` {argument} had to say {why:?}: {ended:#?}");
    ended
}

/// Plays a scenario that must die of `signal`.
#[track_caller]
pub(crate) fn dies(name: &str, argument: &str, signal: i32) {
    let ended = play(name, argument);
    assert_eq!(ended.status.signal(), Some(signal), "scenario `{name}` {argument}: {ended:#?}");
}

/// The mechanisms under which any state will do. Those that need declared writes are left out where a test's state does
/// not declare them: they have their own in `tests/bytes.rs` and `tests/undo.rs`.
pub(crate) fn mechanisms() -> impl Iterator<Item = crashbed::MechanismKind> {
    crashbed::MechanismKind::ALL.into_iter().filter(|mechanism| !mechanism.needs_declared_writes())
}

/// The mechanism and the spare that the scenario was given, as `copy-on-write warm`; the spare is cold where it was not
/// given.
pub(crate) fn mechanism_and_spare() -> (crashbed::MechanismKind, crashbed::Spare) {
    let argument = argument();
    let mut words = argument.split(' ');
    let mechanism = words.next().and_then(|word| word.parse().ok()).expect("a mechanism");
    (mechanism, words.next().map_or(crashbed::Spare::Cold, |word| word.parse().expect("a spare")))
}

/// A daemon of two mebibytes called `d`, with the mechanism and the spare that the scenario was given; `auto` takes another
/// mechanism as often as it can.
pub(crate) fn declaration() -> crashbed::Declaration {
    let (mechanism, spare) = mechanism_and_spare();
    let declaration = crashbed::Declaration::new("d", 2 * crashbed::MIB).switches_always(true).spare(spare);
    match mechanism {
        // SAFETY: it is given by name to scenarios alone that declare what they write: `mechanisms` has it not.
        crashbed::MechanismKind::UndoLog => unsafe { declaration.undo_log(crashbed::MIB) },
        _ => declaration.mechanism(mechanism),
    }
}

/// The words behind mechanism and spare, as numbers.
pub(crate) fn numbers() -> Vec<u64> {
    argument().split(' ').skip(2).map(|word| word.parse().expect("a number")).collect()
}

/// The kinds of spare that a test names; what `auto` picks is one of them.
pub(crate) const SPARES: [&str; 3] = ["cold", "warm", "hot"];

/// Those of them under which a function that crashed begins anew, and does not return from its last commit.
pub(crate) fn mechanisms_that_begin_anew() -> impl Iterator<Item = crashbed::MechanismKind> {
    mechanisms().filter(|mechanism| !mechanism.returns_from_commits())
}

/// Plays a scenario that must succeed, under each mechanism that needs nothing declared, with each kind of spare.
pub(crate) fn each(scenario: &str) {
    mechanisms().for_each(|mechanism| play_each(scenario, mechanism, &SPARES, "", LIMIT));
}

/// The same, for a function that is made to begin anew.
pub(crate) fn each_anew(scenario: &str) {
    each_anew_of(scenario, &SPARES, "", LIMIT);
}

/// The same within `limit`, with each of `spares`; `rest` goes behind mechanism and spare.
pub(crate) fn each_anew_of(scenario: &str, spares: &[&str], rest: &str, limit: Duration) {
    mechanisms_that_begin_anew().for_each(|mechanism| play_each(scenario, mechanism, spares, rest, limit));
}

fn play_each(scenario: &str, mechanism: crashbed::MechanismKind, spares: &[&str], rest: &str, limit: Duration) {
    for spare in spares {
        let argument = format!("{mechanism} {spare} {rest}");
        let ended = start(scenario, argument.trim_end()).finish(limit, Duration::ZERO);
        assert!(ended.status.success(), "scenario `{scenario}` {argument}: {ended:#?}");
    }
}
