//! This program again, as a child: started by exec, so that it has one thread, in a process group of its own, and dead
//! when this program is.

use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The command that starts this program again with `subcommand`; `open` are descriptors that stay open in it.
pub(crate) fn again(subcommand: &str, open: Vec<RawFd>) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    // A group of its own: Ctrl-C comes to this program alone, which then ends the child in order.
    command.arg(subcommand).process_group(0);
    dies_with_this_process(&mut command, open);
    Ok(command)
}

/// Has what `command` starts killed when this process ends; `open` are descriptors that stay open in it.
pub(crate) fn dies_with_this_process(command: &mut Command, open: Vec<RawFd>) {
    let parent = std::process::id();
    let before_exec = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if std::os::unix::process::parent_id() != parent {
            return Err(io::Error::from(Errno::ESRCH));
        }
        for &fd in &open {
            // SAFETY: no pointer is passed; the caller keeps the descriptor open until the child has been started.
            Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
        }
        Ok(())
    };
    // SAFETY: after the fork only prctl, getppid and fcntl are called: async-signal-safe, no allocation.
    unsafe { command.pre_exec(before_exec) };
}
