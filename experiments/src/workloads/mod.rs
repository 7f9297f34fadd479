//! The work that transactions do while they are crashed: `kv`, an ordered map under YCSB's mixes; `documents`, a search
//! index over a folder of JSON files; `stencil`, heat on a plate; `native`, settings files read by a C parser with bugs.
//!
//! Everything here is plain: a state of owned collections, and functions that change it. No process is started and
//! nothing of the engine is called, so that [`oracle`](crate::oracle) and tests can run the same work without crashes.

pub mod corpus;
pub mod digest;
pub mod documents;
pub mod kv;
pub mod native;
pub mod stencil;
pub mod ycsb;
pub mod zipfian;
