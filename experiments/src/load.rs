//! Load: processes that compute without a pause beside the trials, one for each processor.
//!
//! Each is this program again (`child.rs`): the tree must not hold what is no part of it. It tells by a byte that it has
//! begun, so that no trial is made before.

use crate::child;
use std::io::{self, Read, Write};
use std::process::{Child, Stdio};

/// The processes of a load; they end when it is dropped.
#[derive(Debug, Default)]
pub struct Load(Vec<Child>);

impl Load {
    /// Starts the load of this name, as in [`LOADS`](crate::names::LOADS), and waits until all of it has begun.
    ///
    /// # Errors
    /// Where a process cannot be started, or ends at once.
    pub fn start(name: &str) -> io::Result<Self> {
        let mut load = Self::default();
        if name != "busy" {
            return Ok(load);
        }
        for _ in 0..std::thread::available_parallelism()?.get() {
            load.0.push(child::again("busy", Vec::new())?.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        }
        for child in &mut load.0 {
            if let Some(begun) = &mut child.stdout {
                begun.read_exact(&mut [0])?;
            }
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended already cannot be killed, and is reaped all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Computes until it is killed.
///
/// # Errors
/// Where nobody waits for the beginning.
pub fn compute() -> io::Result<()> {
    io::stdout().write_all(b"!")?;
    io::stdout().flush()?;
    let mut number = 1_u64;
    loop {
        // Multiplications that depend on each other: the processor's execution units stay in use, its memory does not.
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}
