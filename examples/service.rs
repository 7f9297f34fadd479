//! A service whose parser may crash: one resident transaction answers many requests, commits after each, and has a
//! successor ready that goes on where it stopped.
//!
//! `cargo run --example service`

use crashbed::{Answer, Daemon, Failure, Heap, Incoming, MIB, Outcome, Recoverable, Root, Scene, Service, Spare, Tx};
use crashbed_policies::ProcessDecides;
use nix::sys::socket::{MsgFlags, recv};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;

// SAFETY: this program takes nothing owned out of a static or a lock that was filled before a fork.
#[global_allocator]
static HEAP: Heap = unsafe { Heap::new() };

#[derive(Default, Recoverable)]
struct Words {
    seen: BTreeMap<String, u64>,
}

/// Stands for a library in C that one input crashes.
fn native_parser(line: &str) -> Vec<String> {
    if line.contains("poison") {
        // SAFETY: nothing is mapped at address 8: the instruction changes no memory, it faults.
        unsafe { std::arch::asm!("mov qword ptr [{}], 1", in(reg) 8u64) };
    }
    line.split_whitespace().map(str::to_lowercase).collect()
}

/// Each message is a request: its number, a space, a line.
struct Counting {
    socket: UnixDatagram,
}

impl Counting {
    /// The first message in the queue; it stays there until it was replied to.
    fn peek(&self) -> Result<(u64, String), Failure> {
        let mut buffer = [0; 1024];
        let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_PEEK)?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        let (number, line) = text.split_once(' ').ok_or_else(|| Failure::new("a message without a number"))?;
        Ok((number.parse()?, line.to_owned()))
    }

    /// Takes the first message away and sends its answer.
    fn answer(&self, words: &str) {
        let mut nothing = [0; 1];
        // Where the client is gone, nobody waits for an answer.
        let _ = self.socket.recv(&mut nothing).and_then(|_| self.socket.send(words.as_bytes()));
    }
}

impl Service<Words> for Counting {
    type Request = String;
    type Answer = usize;

    fn request(&self, tx: &Tx<'_>, number: u64, _: bool) -> Result<Incoming<String>, Failure> {
        loop {
            tx.wait_readable(self.socket.as_fd())?;
            let (found, line) = self.peek()?;
            match line.as_str() {
                // A crash came between its commit and its reply, or it was skipped.
                _ if found < number => self.answer("no answer: it crashed the parser"),
                "end" => return Ok(Incoming::NoMore),
                _ => return Ok(Incoming::Request(line)),
            }
        }
    }

    fn serve(&self, tx: &mut Tx<'_>, words: &mut Words, line: String) -> Result<usize, Failure> {
        for word in tx.scratch(|| native_parser(&line)) {
            *words.seen.entry(word).or_default() += 1;
        }
        Ok(words.seen.len())
    }

    fn reply(&self, _: u64, words: usize) {
        self.answer(&format!("{words} words seen"));
    }
}

/// A line that has crashed the parser is left out.
fn skip(_: &Scene<'_, Words>) -> Answer<Words> {
    Answer::Skip
}

fn main() -> crashbed::Result<()> {
    let (server, client) = UnixDatagram::pair().map_err(crashbed::Error::program)?;
    let service = Counting { socket: server };
    Root::new()
        .daemon("words", 16 * MIB, |daemon: &mut Daemon<Words>| {
            let prepared = daemon.prepare(ProcessDecides).spare(Spare::Warm).on_crash(&skip);
            match prepared.serve(&service, NonZeroU64::MIN)? {
                Outcome::Done(requests) => println!("served {requests} requests: {:?}", daemon.state().seen),
                other => println!("{other:?}"),
            }
            for recovery in &daemon.report().recoveries {
                println!("{}: the successor was {}", recovery.crash, recovery.started_by);
            }
            Ok(())
        })
        .daemon("client", MIB, |_: &mut Daemon<u64>| {
            let lines = ["Let there be light", "a poison pill", "and there was light"];
            for (number, line) in lines.iter().enumerate() {
                let mut answer = [0; 256];
                let asked = client.send(format!("{number} {line}").as_bytes()).and_then(|_| client.recv(&mut answer));
                let length = asked.map_err(crashbed::Error::program)?;
                println!("{line:?} → {}", String::from_utf8_lossy(&answer[..length]));
            }
            let end = client.send(format!("{} end", lines.len()).as_bytes());
            end.map(|_| ()).map_err(crashbed::Error::program)
        })
        .run()
}
