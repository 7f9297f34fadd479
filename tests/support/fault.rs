//! Ways to crash, each done for real: by the processor or the kernel wherever they can do it.

use std::arch::asm;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A way to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NullWrite,
    WildRead,
    Execute,
    Divide,
    Illegal,
    Bus,
    Breakpoint,
    Abort,
    DoublePanic,
    Overflow,
    Kill,
    UserSignal,
    ExitEarly,
    ExitThree,
    Stop,
    Hang,
}

/// A page behind the end of its file: touching it is a bus error.
static BEHIND_THE_END: AtomicUsize = AtomicUsize::new(0);

/// To be called before the root runs: maps what [`Fault::Bus`] touches.
pub(crate) fn prepare() {
    use std::os::fd::AsRawFd;
    let file = nix::sys::memfd::memfd_create(c"bus", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).expect("a file");
    // SAFETY: a new mapping of the kernel's choice; nothing existing changes.
    let page =
        unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    assert_ne!(page, libc::MAP_FAILED);
    BEHIND_THE_END.store(page as usize, Ordering::Relaxed);
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("a panic on the way out of a panic");
    }
}

#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if frame[0] == u64::MAX { 0 } else { overflow(depth + 1) + frame[63] }
}

impl Fault {
    pub(crate) const ALL: [Self; 16] = [
        Self::NullWrite,
        Self::WildRead,
        Self::Execute,
        Self::Divide,
        Self::Illegal,
        Self::Bus,
        Self::Breakpoint,
        Self::Abort,
        Self::DoublePanic,
        Self::Overflow,
        Self::Kill,
        Self::UserSignal,
        Self::ExitEarly,
        Self::ExitThree,
        Self::Stop,
        Self::Hang,
    ];

    /// Those that end a process by themselves, without a heartbeat.
    pub(crate) fn ends_by_itself(self) -> bool {
        !matches!(self, Self::Stop | Self::Hang)
    }

    /// The fault by its place in [`ALL`](Self::ALL).
    pub(crate) fn number(self) -> u64 {
        Self::ALL.iter().position(|fault| *fault == self).unwrap_or(0) as u64
    }

    /// The signal that ends the process, 0 for an exit and for what the heartbeat ends.
    pub(crate) fn signal(self) -> i32 {
        match self {
            Self::NullWrite | Self::WildRead | Self::Execute | Self::Overflow => libc::SIGSEGV,
            Self::Divide => libc::SIGFPE,
            Self::Illegal => libc::SIGILL,
            Self::Bus => libc::SIGBUS,
            Self::Breakpoint => libc::SIGTRAP,
            Self::Abort | Self::DoublePanic => libc::SIGABRT,
            Self::Kill => libc::SIGKILL,
            Self::UserSignal => libc::SIGUSR1,
            Self::ExitEarly | Self::ExitThree | Self::Stop | Self::Hang => 0,
        }
    }

    /// Crashes this process.
    #[allow(clippy::multiple_unsafe_ops_per_block)] // One instruction sequence each.
    pub(crate) fn strike(self) {
        match self {
            // SAFETY: nothing is mapped at address 8: it faults and changes nothing.
            Self::NullWrite => unsafe { asm!("mov qword ptr [{}], 1", in(reg) 8u64) },
            // SAFETY: the address is none that the processor takes: it faults and changes nothing.
            Self::WildRead => unsafe { asm!("mov {0}, qword ptr [{0}]", inout(reg) 0xdead_beef_dead_beef_u64 => _) },
            // SAFETY: a static is not executable: the call faults.
            Self::Execute => unsafe { asm!("call {}", in(reg) &raw const BEHIND_THE_END, clobber_abi("C")) },
            // SAFETY: the division faults and changes nothing.
            Self::Divide => unsafe { asm!("div {}", in(reg) 0u64, inout("rax") 1u64 => _, inout("rdx") 0u64 => _) },
            // SAFETY: ud2 is the instruction that does not exist: it faults.
            Self::Illegal => unsafe { asm!("ud2") },
            // SAFETY: the page is mapped, and behind its file's end: it faults and changes nothing.
            Self::Bus => unsafe {
                asm!("mov {0}, qword ptr [{0}]", inout(reg) BEHIND_THE_END.load(Ordering::Relaxed) => _)
            },
            // SAFETY: a trap that nobody debugs ends the process.
            Self::Breakpoint => unsafe { asm!("int3") },
            // SAFETY: ends the process.
            Self::Abort => unsafe { libc::abort() },
            Self::DoublePanic => {
                let _guard = PanicsInDrop;
                panic!("the first panic");
            }
            Self::Overflow => {
                std::hint::black_box(overflow(0));
            }
            Self::Kill => raise(libc::SIGKILL),
            Self::UserSignal => raise(libc::SIGUSR1),
            // SAFETY: ends the process.
            Self::ExitEarly => unsafe { libc::_exit(0) },
            // SAFETY: ends the process.
            Self::ExitThree => unsafe { libc::_exit(3) },
            Self::Stop => raise(libc::SIGSTOP),
            Self::Hang => std::thread::sleep(std::time::Duration::from_secs(100)),
        }
    }
}

fn raise(signal: i32) {
    let this = std::process::id().cast_signed();
    // SAFETY: no pointer is passed; the signal goes to this very process.
    unsafe { libc::kill(this, signal) };
}
