//! Whose turn it is: the one word by which a spare is released, and on which it waits.
//!
//! ```text
//!            ready             spun long enough
//! starting ─────────▶ spinning ─────────────────▶ asleep        (warm: from starting to asleep at once)
//!    │                   └──────────────┬───────────┘
//!    │                                  │ the crash handler of its predecessor
//!    │  the daemon                      ▼
//!    ├──────────▶ ordered ◀─── referred ◀─── released ───▶ taken
//!                 (works as it is told)      (decides by itself; refers to the daemon what that has to do)
//! ```
//!
//! Every change is a compare-and-swap, so that handler and daemon never both release a spare. A release that proves
//! false (no sound record behind it) goes back to *asleep*.

use crate::mailbox::{Mailbox, Standby};
use crate::sys::processors::{self, Processors};
use crate::sys::{clock, event};
use std::sync::atomic::Ordering;

/// Where a spare stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Turn {
    /// It gets ready.
    Starting = 0,
    /// It is ready and looks at the word without pause.
    Spinning = 1,
    /// It is ready and sleeps on the word.
    Asleep = 2,
    /// Its predecessor's crash handler has released it.
    Released = 3,
    /// It has decided and works.
    Taken = 4,
    /// It has decided; the daemon has to do something before it can work.
    Referred = 5,
    /// The daemon has released it.
    Ordered = 6,
}

impl Turn {
    /// Where the spare stands; a word that means nothing is taken for [`Starting`](Self::Starting), in which nobody but
    /// the daemon releases it.
    pub(crate) fn of(standby: &Standby) -> Self {
        match standby.turn.load(Ordering::Acquire) {
            1 => Self::Spinning,
            2 => Self::Asleep,
            3 => Self::Released,
            4 => Self::Taken,
            5 => Self::Referred,
            6 => Self::Ordered,
            _ => Self::Starting,
        }
    }

    /// Changes from this to `to`; false where it was not this.
    pub(crate) fn change(self, standby: &Standby, to: Self) -> bool {
        let (from, to) = (self as u32, to as u32);
        standby.turn.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// How often one tries to change a word that changes at the same time: it does so once, from spinning to asleep.
const TRIES: usize = 4;

/// Releases a spare from one of the states `from` to `to`. Where it sleeps, it is drawn to this processor, `sleeper` being
/// its process where that is known; then it is woken. Async-signal-safe. Handler and daemon never come here at once, so
/// that one who is asleep stays so until it is released: who was awake already would stay drawn.
fn release_to(standby: &Standby, sleeper: Option<i32>, from: &[Turn], to: Turn) -> bool {
    for _ in 0..TRIES {
        let now = Turn::of(standby);
        if !from.contains(&now) {
            return false;
        }
        standby.drawn.draw(sleeper.filter(|_| matches!(now, Turn::Asleep | Turn::Referred)));
        if now.change(standby, to) {
            if now != Turn::Spinning {
                event::futex_wake(&standby.turn);
            }
            return true;
        }
    }
    false
}

/// In the crash handler: releases the spare, which is ready.
pub(crate) fn release(standby: &Standby, sleeper: Option<i32>) -> bool {
    release_to(standby, sleeper, &[Turn::Spinning, Turn::Asleep], Turn::Released)
}

/// In the crash handler, which has released the spare in this seat: where that one spins and does not begin, somebody
/// else has its processor at the moment. Then it is drawn to this one, which the handler is about to leave; `spare` is its
/// process, while the seat is its. It looks for that once more after it has taken its turn; where it has done so already,
/// it is given back here what it had.
pub(crate) fn hurry(seat: &Mailbox, spare: impl Fn() -> Option<i32>) {
    /// Much longer than one needs that runs.
    const PATIENCE_NS: u64 = 8_000;
    let standby = &seat.standby;
    if standby.drawn.is() {
        return;
    }
    let until_ns = clock::now_ns() + PATIENCE_NS;
    while seat.started_ns.load(Ordering::Relaxed) == 0 {
        if clock::now_ns() < until_ns {
            std::hint::spin_loop();
            continue;
        }
        if let Some((spare, had)) = spare().and_then(|spare| Some((spare, Processors::of(spare)?)))
            && Turn::of(standby) == Turn::Released
        {
            standby.drawn.draw(Some(spare));
            if Turn::of(standby) != Turn::Released {
                had.give(spare);
            }
        }
        return;
    }
}

/// In the daemon: releases the spare, whose orders are written, ready or not.
pub(crate) fn order(standby: &Standby, sleeper: Option<i32>) -> bool {
    release_to(standby, sleeper, &[Turn::Starting, Turn::Spinning, Turn::Asleep, Turn::Referred], Turn::Ordered)
}

/// In the spare: waits for its release and answers from what; spins for `spin_ns` at the most before it sleeps.
/// Whoever releases it is told by [`Turn::of`].
pub(crate) fn wait(standby: &Standby, from: Turn, spin_ns: u64) -> Turn {
    /// Looks between two looks at the clock.
    const LOOKS: u32 = 64;
    /// How long others that are ready wait for its processor at the most: the daemon, above all.
    const STRETCH_NS: u64 = 20_000;
    let mut from = from;
    if spin_ns > 0 && from.change(standby, Turn::Spinning) {
        from = Turn::Spinning;
        let began_ns = clock::now_ns();
        let (mut stretched_ns, mut away_ns) = (STRETCH_NS, 0);
        loop {
            for _ in 0..LOOKS {
                if standby.turn.load(Ordering::Acquire) != Turn::Spinning as u32 {
                    standby.spun_ns.store(clock::now_ns() - began_ns - away_ns, Ordering::Relaxed);
                    return from;
                }
                std::hint::spin_loop();
            }
            let now_ns = clock::now_ns();
            let spun_ns = now_ns - began_ns - away_ns;
            if spun_ns >= spin_ns {
                standby.spun_ns.store(spun_ns, Ordering::Relaxed);
                break;
            }
            if spun_ns >= stretched_ns {
                processors::step_aside();
                // What others took is not spun.
                away_ns += clock::now_ns() - now_ns;
                stretched_ns = spun_ns + STRETCH_NS;
            }
        }
    }
    let asleep = if from == Turn::Referred { Turn::Referred } else { Turn::Asleep };
    if from == asleep || from.change(standby, asleep) {
        from = asleep;
        while Turn::of(standby) == asleep {
            event::futex_wait(&standby.turn, asleep as u32);
        }
    }
    from
}
