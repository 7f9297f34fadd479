//! A kernel, or a container, that refuses a call: the floor does without it where it can, and else says what it was.
//!
//! Refused by a seccomp filter, which holds for the whole tree of the scenario.

use crate::has_children;
use crate::paths::walks;
use crate::recoveries::lap_of_each_start;
use crashbed::MIB;
use crashbed::floor::{Extent, Path, laps as walk};

/// Refuses system call `number` with `errno`, in this process and in all that it forks from now on (`seccomp(2)`); with
/// `third`, only where its third argument is that.
fn refuse(number: i64, third: Option<i32>, errno: i32) {
    // The number of a call is the first word of what a filter sees; six arguments of eight bytes begin at byte 16.
    const NUMBER: u32 = 0;
    const THIRD: u32 = 32;
    let statement = |code: u32, k: u32| libc::sock_filter { code: small(code), jt: 0, jf: 0, k };
    let load = |at| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    // Where the word is another, goes over `skip` statements.
    let is = |word: i64, skip| libc::sock_filter {
        code: small(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K),
        jt: 0,
        jf: skip,
        k: u32::try_from(word).expect("a small number"),
    };
    let answer = |answer| statement(libc::BPF_RET | libc::BPF_K, answer);
    let refusal = answer(libc::SECCOMP_RET_ERRNO | u32::try_from(errno).expect("a small number"));
    let mut filter = match third {
        None => vec![load(NUMBER), is(number, 1), refusal],
        Some(third) => vec![load(NUMBER), is(number, 3), load(THIRD), is(third.into(), 1), refusal],
    };
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    let len = filter.len().try_into().expect("a few statements");
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: no pointer is passed.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program is readable, with as many statements as it says; the kernel copies it.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program, 0, 0) }, 0);
}

/// As on a kernel before 5.14, and in a container that does not let a process choose its processors.
fn refuse_what_makes_it_fast() {
    refuse(libc::SYS_sched_setaffinity, None, libc::EPERM);
    refuse(libc::SYS_sched_getaffinity, None, libc::EPERM);
    refuse(libc::SYS_madvise, Some(libc::MADV_POPULATE_READ), libc::EINVAL);
    refuse(libc::SYS_madvise, Some(libc::MADV_POPULATE_WRITE), libc::EINVAL);
}

fn small(code: u32) -> u16 {
    u16::try_from(code).expect("a small number")
}

pub(crate) fn laps() -> crashbed::Result<()> {
    refuse_what_makes_it_fast();
    lap_of_each_start()
}

pub(crate) fn paths() -> crashbed::Result<()> {
    refuse_what_makes_it_fast();
    for path in Path::ALL {
        walks(path)?;
    }
    refuse(libc::SYS_pidfd_open, None, libc::ENOSYS);
    for path in Path::ALL {
        if path.takes_region() {
            let refused = walk(path, Extent { region_bytes: MIB, threads: 1 }, 1).expect_err("no pidfd").to_string();
            assert!(refused.contains("pidfd") && refused.contains("ENOSYS"), "{path}: {refused}");
            assert!(!has_children(), "{path}: a child is left");
        } else {
            walks(path)?;
        }
    }
    // `fork(3)` and the bare one.
    refuse(libc::SYS_clone, None, libc::EAGAIN);
    refuse(libc::SYS_clone3, None, libc::EAGAIN);
    for path in Path::ALL {
        let refused = walk(path, Extent { region_bytes: MIB, threads: 1 }, 1).expect_err("no fork").to_string();
        assert!(refused.contains("fork") && refused.contains("EAGAIN"), "{path}: {refused}");
    }
    Ok(())
}

pub(crate) fn memory() -> crashbed::Result<()> {
    let more_than_there_is = walk(Path::KillToPidfd, Extent { region_bytes: 1 << 45, threads: 1 }, 1);
    let refused = more_than_there_is.expect_err("no room").to_string();
    assert!(refused.contains("the region of a floor: 33554432 MiB"), "{refused}");
    let limit = 256 * MIB as u64;
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_AS, limit, limit).expect("a limit");
    let refused = walk(Path::KillToPidfd, Extent { region_bytes: 512 * MIB, threads: 1 }, 1);
    let refused = refused.expect_err("no room").to_string();
    assert!(refused.contains("the region of a floor") && refused.contains("ENOMEM"), "{refused}");
    walks(Path::KillToPidfd)
}
