//! The twins of the refused programs: the same shapes, each with an owned type in place of the refused one.
#![forbid(unsafe_code)]
#![deny(warnings)]
#![allow(dead_code)]

use crashbed::Recoverable;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

/// For `fail_arc`, `fail_static_str`, `fail_cow`, `fail_mutex`, `fail_cells`, `fail_file`.
#[derive(Default, Recoverable)]
struct State {
    count: u64,
    owned: Box<String>,
    name: String,
    words: Vec<String>,
    first: Option<String>,
    log: Option<PathBuf>,
}

/// For `fail_rc` and `fail_union`.
#[derive(Recoverable)]
struct Tuple(u64, Vec<Box<str>>, Result<f64, ()>);

/// For `fail_boxed_closure`, `fail_function_pointer`, `fail_trait_object`.
#[derive(Clone, Copy, Recoverable)]
enum Next {
    Idle,
    Busy { number: u64, again: bool },
    Later(Duration, char),
}

/// For `fail_hasher`: one that holds nothing, and one that is derived.
#[derive(Recoverable)]
struct Maps {
    fixed: HashMap<String, u64, BuildHasherDefault<DefaultHasher>>,
    own: HashMap<String, u64, Seeded>,
}

#[derive(Recoverable)]
struct Seeded(u64);

/// For `fail_parameter` and `fail_generic_field`.
#[derive(Recoverable)]
struct Pair<T, const N: usize = 2>
where
    T: Clone,
{
    left: T,
    right: Vec<T>,
    more: [Option<T>; N],
    kind: PhantomData<T>,
}

/// A parameter's associated type is checked where the bound says so.
trait Unit {
    type Value;
}

#[derive(Recoverable)]
struct Measured<U: Unit>
where
    U::Value: Recoverable,
{
    unit: U,
    value: U::Value,
}

/// For `fail_recursive`.
#[derive(Recoverable)]
enum Tree {
    Leaf(u64),
    Node(Box<Tree>, Box<Tree>),
}

/// A field may say `Self`.
#[derive(Recoverable)]
struct List<T> {
    value: T,
    next: Option<Box<Self>>,
}

/// Two types that hold each other.
#[derive(Recoverable)]
struct Even(Option<Box<Odd>>);

#[derive(Recoverable)]
struct Odd(Vec<Even>);

/// For `fail_drop`: fields with a `Drop` are welcome, as theirs gives memory back.
#[derive(Recoverable)]
struct Lease<T> {
    number: i32,
    value: T,
}

/// For `fail_underived`.
#[derive(Recoverable)]
struct Position {
    offset: u64,
}

#[derive(Recoverable)]
struct Nothing;

#[derive(Recoverable)]
enum Never {}

#[derive(Recoverable)]
struct Collections {
    deque: VecDeque<Position>,
    list: LinkedList<String>,
    heap: BinaryHeap<u64>,
    tree: BTreeMap<String, BTreeSet<u64>>,
    set: HashSet<Vec<u8>>,
    boxed: Box<[Position]>,
    eight: (u8, i16, f32, char, bool, (), [u64; 3], String),
}

fn recoverable<T: Recoverable>() {}

fn main() {
    recoverable::<State>();
    recoverable::<Tuple>();
    recoverable::<Next>();
    recoverable::<Maps>();
    recoverable::<Pair<String>>();
    recoverable::<Tree>();
    recoverable::<List<Tree>>();
    recoverable::<Odd>();
    recoverable::<Lease<String>>();
    recoverable::<Nothing>();
    recoverable::<Never>();
    recoverable::<Collections>();
    recoverable::<crashbed::Crash>();
    recoverable::<crashbed::Text>();

    // The derive works inside a function, too.
    #[derive(Recoverable)]
    struct Local(Vec<Position>);
    recoverable::<Local>();
}
