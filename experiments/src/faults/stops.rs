//! Faults that stop the process, each done as the real bug does it: by the faulting instruction or system call.
//!
//! The instant before is written into the injector's page as the last thing, so that the recovery's clock starts at
//! the fault. Nothing here allocates, and nothing maps memory: what a fault needs is in `Prepared`, made before the
//! fork.

use super::memory::{Mapping, load, stamp, store};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, ftruncate, pause};
use std::arch::asm;
use std::hint::{black_box, spin_loop};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

/// What stops the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stop {
    /// A read from address 0.
    NullRead,
    /// A write to address 0.
    NullWrite,
    /// A read from [`WILD`].
    WildRead,
    /// A write to [`WILD`].
    WildWrite,
    /// A write to [`NON_CANONICAL`].
    NonCanonicalWrite,
    /// A call into a page that is not executable.
    ExecuteBadMemory,
    /// An integer division by zero.
    DivisionByZero,
    /// The instruction `ud2`.
    IllegalInstruction,
    /// A read from a file mapping whose file was truncated.
    BusError,
    /// A recursion without end.
    StackOverflow,
    /// `abort(3)`.
    Abort,
    /// `_exit(2)` with status 0, which a careless parent takes for success.
    Exit,
    /// SIGKILL to itself.
    Kill,
    /// SIGKILL from another process while it works, as from the out-of-memory killer.
    KillOutside,
    /// SIGSTOP: no notice, no end.
    Stop,
    /// A sleep without end.
    Hang,
    /// A loop without end.
    Livelock,
}

impl Stop {
    /// Every stop.
    pub const ALL: [Self; 17] = [
        Self::NullRead,
        Self::NullWrite,
        Self::WildRead,
        Self::WildWrite,
        Self::NonCanonicalWrite,
        Self::ExecuteBadMemory,
        Self::DivisionByZero,
        Self::IllegalInstruction,
        Self::BusError,
        Self::StackOverflow,
        Self::Abort,
        Self::Exit,
        Self::Kill,
        Self::KillOutside,
        Self::Stop,
        Self::Hang,
        Self::Livelock,
    ];
}

/// An address that is canonical and never mapped: in the page under 2^47 that Linux keeps free in every process
/// (`Documentation/arch/x86/x86_64/mm.rst`; with five-level tables it is given out on request only).
pub const WILD: usize = 0x7fff_ffff_f018;

/// An address whose upper bits are no sign extension: the processor refuses it before it looks at any page table,
/// and the kernel cannot tell the address (`si_addr` is 0).
pub const NON_CANONICAL: usize = 0x8000_0000_0000_0018;

/// The size of a page on x86-64.
pub(super) const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What stops need that a transaction may not make: made before the fork.
#[derive(Debug)]
pub(super) struct Prepared {
    /// A page of a file that has since been truncated to nothing.
    truncated: Mapping,
    /// A page whose first word is the process that asks to be killed; 0 none.
    victim: Mapping,
    /// What wakes the process that kills.
    asked: EventFd,
}

impl Prepared {
    pub(super) fn new() -> Result<Self, Errno> {
        let file = memfd_create(c"crashbed-bus-error", MFdFlags::MFD_CLOEXEC)?;
        ftruncate(&file, 4096)?;
        let truncated = Mapping::of_file(&file, PAGE)?;
        ftruncate(&file, 0)?;
        let asked = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { truncated, victim: Mapping::anonymous(PAGE)?, asked })
    }

    /// What is readable when a process asks to be killed.
    pub(super) fn asked(&self) -> &EventFd {
        &self.asked
    }

    fn victim(&self) -> &AtomicU64 {
        // SAFETY: the mapping is a whole page, aligned to one, zeroed by the kernel, and lives as long as `self`; any
        // bytes are a value of an atomic word.
        unsafe { self.victim.start().cast::<AtomicU64>().as_ref() }
    }

    /// Asks to be killed, and works on until that is done.
    fn be_killed(&self) {
        self.victim().store(u64::from(Pid::this().as_raw().unsigned_abs()), Ordering::Release);
        // Where nobody is woken nobody kills, and a heartbeat's deadline tells.
        let _ = self.asked.write(1);
        loop {
            spin_loop();
        }
    }

    /// Kills the process that asks for it, if one does; writes the instant before into `fault_ns`.
    pub(super) fn kill_who_asked(&self, fault_ns: &AtomicU64) {
        // Nothing to read means that nobody asked.
        let _ = self.asked.read();
        let asking = i32::try_from(self.victim().swap(0, Ordering::AcqRel)).unwrap_or(0);
        if asking > 0 {
            stamp(fault_ns);
            // It spins until it is killed, so the id is its own.
            let _ = kill(Pid::from_raw(asking), Signal::SIGKILL);
        }
    }
}

/// Data, so not executable; were it executed all the same, it reads as `ud2`.
static NOT_CODE: [u8; 2] = [0x0f, 0x0b];

/// Stops the process, and writes down when. It comes back only where the fault had no effect: someone mapped the
/// address, or continued a stopped process.
pub(super) fn perform(stop: Stop, prepared: &Prepared, fault_ns: &AtomicU64) {
    stamp(fault_ns);
    match stop {
        Stop::NullRead => _ = load(0),
        Stop::NullWrite => store(0, 1),
        Stop::WildRead => _ = load(WILD),
        Stop::WildWrite => store(WILD, 1),
        Stop::NonCanonicalWrite => store(NON_CANONICAL, 1),
        Stop::ExecuteBadMemory => execute((&raw const NOT_CODE).addr()),
        Stop::DivisionByZero => divide_by_zero(),
        Stop::IllegalInstruction => illegal_instruction(),
        Stop::BusError => _ = load(prepared.truncated.start().addr().get()),
        Stop::StackOverflow => _ = black_box(descend(black_box(u64::MAX), fault_ns)),
        Stop::Abort => std::process::abort(),
        Stop::Exit => exit_at_once(),
        Stop::Kill => send_to_itself(Signal::SIGKILL),
        Stop::KillOutside => prepared.be_killed(),
        Stop::Stop => send_to_itself(Signal::SIGSTOP),
        Stop::Hang => loop {
            pause();
        },
        Stop::Livelock => loop {
            spin_loop();
        },
    }
}

fn execute(address: usize) {
    // SAFETY: the processor faults on the fetch from a page that is not executable (or on the `ud2` there), so no
    // instruction of the caller's runs after it; the call's own push is declared, as the stack is not opted out.
    unsafe { asm!("call {address}", address = in(reg) address, clobber_abi("C")) }
}

fn divide_by_zero() {
    // SAFETY: the division faults before it writes anything; the registers that it would write are declared.
    unsafe {
        asm!("idiv {zero:e}", zero = in(reg) 0u32, inout("eax") 1u32 => _, inout("edx") 0u32 => _,
            options(nomem, nostack));
    }
}

fn illegal_instruction() {
    // SAFETY: `ud2` does nothing but raise the invalid-opcode exception (Intel SDM, volume 2B).
    unsafe { asm!("ud2", options(nomem, nostack)) }
}

/// Calls itself until the stack is used up; each call writes down when, as nobody knows which is the last.
#[inline(never)]
fn descend(left: u64, fault_ns: &AtomicU64) -> u64 {
    let frame = black_box([left; 64]);
    if left == 0 {
        return frame[0];
    }
    stamp(fault_ns);
    // What comes back is needed together with this frame, so the call is no jump.
    descend(left - 1, fault_ns).wrapping_add(black_box(&frame)[1])
}

fn exit_at_once() {
    // SAFETY: _exit(2) ends the process without running anything of it.
    unsafe { libc::_exit(0) }
}

fn send_to_itself(signal: Signal) {
    // kill(2) to oneself fails for an unknown signal only; where it failed, the caller counts the fault as without
    // effect, since it comes back.
    let _ = kill(Pid::this(), signal);
}
