//! A state whose type has not promised that its changes are guarded is not kept after a crash.
use crashbed::Daemon;
use crashbed_policies::KeepIfIntact;

fn main() {
    let _ = |daemon: &mut Daemon<Vec<String>>| {
        daemon.prepare(KeepIfIntact::default()).keep_if_intact().run(|_, _| Ok(()))
    };
}
