//! How the values of a suite are read from TOML: each checked where it stands, so that an error has its line.
//!
//! A factor is one level or a list of them: `fault = "kill"` or `fault = ["kill", "abort"]`.

use crate::names::{self, Table};
use crate::suite::mix_of;
use crate::workloads::stencil::SIDES;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The longest pause between two faults of a batch, in microseconds.
const LONGEST_PAUSE_US: u64 = 1_000_000;

/// The largest weight of a fault in a mix.
const HEAVIEST: u64 = 1_000_000;

/// The most threads of a workload.
const MOST_THREADS: usize = 256;

/// The largest seed: the largest whole number that every reader of JSON keeps exact (RFC 8259, section 6).
pub const LARGEST_SEED: u64 = (1 << 53) - 1;

/// Reads restart policies.
pub fn policies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    OneOrMany(Known(&names::POLICIES)).deserialize(deserializer)
}

/// Reads mechanisms.
pub fn mechanisms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    OneOrMany(Known(&names::MECHANISMS)).deserialize(deserializer)
}

/// Reads workloads.
pub fn workloads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    OneOrMany(Known(&names::WORKLOADS)).deserialize(deserializer)
}

/// Reads faults.
pub fn faults<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    OneOrMany(FaultOrMix).deserialize(deserializer)
}

/// Reads faults with their weights.
pub fn weights<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    deserializer.deserialize_map(Weights)
}

/// Reads ways to make a successor ready.
pub fn spares<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    OneOrMany(Known(&names::SPARES)).deserialize(deserializer)
}

/// Reads loads.
pub fn loads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    OneOrMany(Known(&names::LOADS)).deserialize(deserializer)
}

/// Reads measures.
pub fn measure<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Known(&names::MEASURES).deserialize(deserializer)
}

/// Reads sizes, numbers, or whatever else reads itself from a text or a number.
pub fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialEq + fmt::Display,
{
    OneOrMany(PhantomData).deserialize(deserializer)
}

/// Reads a whole number that is not zero.
pub fn positive<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + PartialEq + Default,
{
    let number = T::deserialize(deserializer)?;
    if number == T::default() {
        return Err(de::Error::custom("0 is too few; at least 1 is needed"));
    }
    Ok(number)
}

/// Reads a share in percent.
pub fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let percent = u8::deserialize(deserializer)?;
    if !(1..=100).contains(&percent) {
        return Err(de::Error::custom(format!("{percent} is no share of a processor in percent; write 1 to 100")));
    }
    Ok(percent)
}

/// Reads a pause in microseconds.
pub fn pause<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let pause = u64::deserialize(deserializer)?;
    if pause > LONGEST_PAUSE_US {
        return Err(de::Error::custom(format!("{pause} µs are too long; the longest pause is {LONGEST_PAUSE_US} µs")));
    }
    Ok(pause)
}

/// Reads how many cells a side has.
pub fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let side = u32::deserialize(deserializer)?;
    if !SIDES.contains(&side) {
        let message = format!("{side} is no side of a plate in cells; write {} to {}", SIDES.start(), SIDES.end());
        return Err(de::Error::custom(message));
    }
    Ok(side)
}

/// Reads a number of threads.
pub fn threads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let threads = usize::deserialize(deserializer)?;
    if threads > MOST_THREADS {
        return Err(de::Error::custom(format!("{threads} threads are too many; {MOST_THREADS} are the most")));
    }
    Ok(threads)
}

/// Reads a seed.
pub fn seed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let seed = u64::deserialize(deserializer)?;
    if seed > LARGEST_SEED {
        return Err(de::Error::custom(format!("{seed} is too large; the largest seed is {LARGEST_SEED}")));
    }
    Ok(Some(seed))
}

/// Reads a suite's name: it names a folder too.
pub fn kebab_case<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(fits) {
        let message = format!("`{name}` is not a name; write small letters, digits and `-`, as `my-suite`");
        return Err(de::Error::custom(message));
    }
    Ok(name)
}

/// Blocks of factors: one table, or a list of them.
pub mod blocks {
    use crate::suite::Factors;
    use serde::de::value::MapAccessDeserializer;
    use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
    use serde::{Serialize, Serializer};
    use std::fmt;

    /// Reads `[factors]` or `[[factors]]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Factors>, D::Error> {
        deserializer.deserialize_any(Blocks)
    }

    /// Writes one block as a table, several as a list of tables.
    pub fn serialize<S: Serializer>(blocks: &[Factors], serializer: S) -> Result<S::Ok, S::Error> {
        match blocks {
            [block] => block.serialize(serializer),
            blocks => blocks.serialize(serializer),
        }
    }

    struct Blocks;

    impl<'de> Visitor<'de> for Blocks {
        type Value = Vec<Factors>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a section `[factors]`, or several `[[factors]]`")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Ok(vec![Factors::deserialize(MapAccessDeserializer::new(map))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut blocks = Vec::new();
            while let Some(block) = list.next_element()? {
                blocks.push(block);
            }
            if blocks.is_empty() {
                return Err(de::Error::custom("the list is empty; at least one block is needed"));
            }
            Ok(blocks)
        }
    }
}

/// Reads one name that is in a table.
#[derive(Clone, Copy)]
struct Known(&'static Table);

impl<'de> DeserializeSeed<'de> for Known {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

// A visitor, because `toml` gives the element's own line only to errors that come out of one.
impl Visitor<'_> for Known {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of a {}", self.0.what)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<String, E> {
        let Self(table) = self;
        if table.has(name) {
            return Ok(name.to_owned());
        }
        let (what, nearest) = (table.what, table.nearest(name));
        Err(E::custom(format!("unknown {what} `{name}`; the nearest is `{nearest}`")))
    }
}

/// Reads a fault, or `mix:` and the name of a mix, which the suite must have.
#[derive(Clone, Copy)]
struct FaultOrMix;

impl<'de> DeserializeSeed<'de> for FaultOrMix {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FaultOrMix {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a fault, or `mix:` and the name of a mix")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<String, E> {
        match mix_of(name) {
            Some(_) => Ok(name.to_owned()),
            None => Known(&names::FAULTS).visit_str(name),
        }
    }
}

/// Reads a fault that can be drawn.
struct Drawable;

impl<'de> DeserializeSeed<'de> for Drawable {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Drawable {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a fault")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<String, E> {
        match name {
            "none" => Err(E::custom("`none` is no fault to draw; give it as a level beside the mix")),
            name => Known(&names::FAULTS).visit_str(name),
        }
    }
}

/// Reads the weight of a fault.
struct Weight;

impl<'de> DeserializeSeed<'de> for Weight {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for Weight {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a weight, a whole number from 1 to {HEAVIEST}")
    }

    fn visit_i64<E: de::Error>(self, weight: i64) -> Result<u64, E> {
        let right = u64::try_from(weight).ok().filter(|weight| (1..=HEAVIEST).contains(weight));
        right.ok_or_else(|| E::custom(format!("{weight} is no weight; write 1 to {HEAVIEST}, or leave the fault out")))
    }

    // TOML has signed numbers; the tree is told the suite in JSON, which has these.
    fn visit_u64<E: de::Error>(self, weight: u64) -> Result<u64, E> {
        self.visit_i64(i64::try_from(weight).unwrap_or(i64::MAX))
    }
}

/// Reads faults with their weights.
struct Weights;

impl<'de> Visitor<'de> for Weights {
    type Value = BTreeMap<String, u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faults with their weights, as `kill = 2`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut weights = BTreeMap::new();
        while let Some(fault) = map.next_key_seed(Drawable)? {
            weights.insert(fault, map.next_value_seed(Weight)?);
        }
        if weights.is_empty() {
            return Err(de::Error::custom("the mix is empty; at least one fault is needed, as `kill = 1`"));
        }
        Ok(weights)
    }
}

/// Reads one value or a list of them, none of them twice.
struct OneOrMany<S>(S);

impl<'de, S> DeserializeSeed<'de> for OneOrMany<S>
where
    S: DeserializeSeed<'de, Value: PartialEq + fmt::Display> + Copy,
{
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S> Visitor<'de> for OneOrMany<S>
where
    S: DeserializeSeed<'de, Value: PartialEq + fmt::Display> + Copy,
{
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a level or a list of levels")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(vec![self.0.deserialize(number.into_deserializer())?])
    }

    // TOML has signed numbers; JSON, in which settings reach a measure, has these.
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(vec![self.0.deserialize(number.into_deserializer())?])
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(vec![self.0.deserialize(text.into_deserializer())?])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.0)? {
            if values.contains(&value) {
                return Err(de::Error::custom(format!("`{value}` is there twice")));
            }
            values.push(value);
        }
        if values.is_empty() {
            return Err(de::Error::custom("the list is empty; at least one level is needed"));
        }
        Ok(values)
    }
}
