//! The threads of this process: whether there are others, which, and signals to one of them. Async-signal-safe.

use super::{Errno, check, check_long};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Whether the calling thread is the only one of its process. Asked of the kernel by `unshare(2)`: with `CLONE_THREAD`
/// it does nothing in a process of one thread, and fails with `EINVAL` in any other. A refusal for another reason is
/// taken for "no".
pub(crate) fn is_alone() -> bool {
    // SAFETY: no pointer is passed; with this flag alone nothing is unshared.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

/// Sends `signal` to thread `thread` of this process (`tgkill(2)`); 0 only asks whether it is there. False where it is
/// not.
pub(crate) fn send(thread: i32, signal: i32) -> bool {
    // SAFETY: no pointer is passed.
    unsafe { libc::syscall(libc::SYS_tgkill, super::process::id(), thread, signal) == 0 }
}

/// Calls `found` with every thread of this process but the calling one, in ascending order (`/proc/self/task`, read by
/// `getdents64(2)`). `found` answers whether to go on.
pub(crate) fn each_other(mut found: impl FnMut(i32) -> bool) -> Result<(), Errno> {
    /// Where in an entry its length and its name stand (`struct linux_dirent64`).
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    let fd = check(unsafe { libc::open(c"/proc/self/task".as_ptr(), flags) })?;
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    let folder = unsafe { OwnedFd::from_raw_fd(fd) };
    let me = super::process::thread_id();
    let mut entries = [0u8; 2048];
    loop {
        let (at, len) = (entries.as_mut_ptr(), entries.len());
        // SAFETY: the buffer is writable and `len` bytes long.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, folder.as_raw_fd(), at, len) };
        let read = usize::try_from(check_long(read)?).unwrap_or(0);
        if read == 0 {
            return Ok(());
        }
        let mut rest = &entries[..read.min(len)];
        while rest.len() > NAME {
            let length = usize::from(u16::from_ne_bytes([rest[LENGTH], rest[LENGTH + 1]]));
            let Some(entry) = rest.get(NAME..length) else { break };
            if let Some(thread) = number(entry)
                && thread != me
                && !found(thread)
            {
                return Ok(());
            }
            rest = &rest[length..];
        }
    }
}

/// The decimal number that a C string is; `None` for other names, such as `.`.
fn number(name: &[u8]) -> Option<i32> {
    let digits = name.iter().take_while(|byte| **byte != 0);
    digits.clone().next()?;
    digits.copied().try_fold(0i32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| i32::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_numbers_are_read() {
        assert_eq!(number(b"1234\0\0"), Some(1234));
        assert_eq!(number(b".\0"), None);
        assert_eq!(number(b"\0"), None);
        assert_eq!(number(b"99999999999\0"), None);
    }

    #[test]
    fn other_threads_are_found_and_the_own_is_not() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(super::super::process::thread_id()).unwrap();
            let _ = ended.recv();
        });
        let other = told.recv().unwrap();
        let mut found = Vec::new();
        // One walk may miss a thread while others end, as those of other tests do; so it is walked again, as it is by
        // whoever stops them.
        for _ in 0..100 {
            each_other(|thread| {
                found.push(thread);
                true
            })
            .unwrap();
            if found.contains(&other) {
                break;
            }
        }
        assert!(found.contains(&other) && !found.contains(&super::super::process::thread_id()), "{found:?}");
        assert!(found.is_sorted(), "{found:?}");
        assert!(!is_alone() && send(other, 0));
        drop(end);
        thread.join().unwrap();
    }
}
