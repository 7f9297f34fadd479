//! The paths of which a recovery is made, each by itself and bare ([`crashbed::floor::laps`]): they have no engine's way
//! beside them. `restore` has the whole of it, and both ways.

use crate::tree;
use crashbed::MIB;
use crashbed::floor::{Extent, Path, laps};
use criterion::Criterion;

const REGIONS_MIB: [usize; 2] = [1, 64];
const THREADS: [usize; 3] = [1, 4, 16];

pub(crate) fn bench(criterion: &mut Criterion) {
    for path in Path::ALL {
        let mut group = criterion.benchmark_group(format!("paths/{path}"));
        if path.takes_region() {
            for mib in REGIONS_MIB {
                tree::add(&mut group, "paths", &format!("{mib}-MiB"), &format!("{path} {mib} 1"));
            }
        } else if path.takes_threads() {
            for threads in THREADS {
                tree::add(&mut group, "paths", &format!("{threads}-threads"), &format!("{path} 1 {threads}"));
            }
        } else {
            tree::add(&mut group, "paths", "floor", &format!("{path} 1 1"));
        }
        group.finish();
    }
}

pub(crate) fn answer(what: &[&str], iterations: u64) {
    let [path, mib, threads] = what else { panic!("paths: PATH MIB THREADS") };
    let path = Path::ALL.into_iter().find(|known| known.name() == *path).expect("the name of a path");
    let region_bytes = mib.parse::<usize>().expect("a size") * MIB;
    let extent = Extent { region_bytes, threads: threads.parse().expect("a number of threads") };
    let iterations = usize::try_from(iterations).expect("so many laps fit into memory");
    let walked = laps(path, extent, iterations).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", walked.iter().sum::<u64>());
}
