//! Errors and panics at the transaction boundary: outcomes, not crashes.

use crate::text::Text;
use std::fmt;
use std::panic::Location;

/// Why a transaction failed. The last commit stands.
///
/// Any error becomes one by `?`: its type's name, its text and the place cross the process border, the error itself
/// stays behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure(Box<Details>);

#[derive(Clone, PartialEq, Eq)]
struct Details {
    kind: FailureKind,
    type_name: Text,
    message: Text,
    place: Text,
}

/// What kind of failure ended a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FailureKind {
    /// The closure returned an error.
    Error = 1,
    /// The closure, or one of its threads, panicked.
    Panic = 2,
    /// The region or scratch had no room for an allocation that could not fail.
    Exhausted = 3,
    /// The daemon refused a commit that was staged wrongly.
    CommitRefused = 4,
}

impl Failure {
    /// A failure with a message of its own.
    #[track_caller]
    pub fn new(message: impl fmt::Display) -> Self {
        Self::at("", &message, Location::caller())
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> FailureKind {
        self.0.kind
    }

    /// The error's type, as `std::io::error::Error`; empty where there is none.
    pub fn type_name(&self) -> &str {
        self.0.type_name.as_str()
    }

    /// The error's or the panic's message, cut to [`Text::CAPACITY`].
    pub fn message(&self) -> &str {
        self.0.message.as_str()
    }

    /// Source file and line, as `src/main.rs:17`; empty where unknown.
    pub fn place(&self) -> &str {
        self.0.place.as_str()
    }

    /// A failure from its parts.
    pub(crate) fn from_parts(kind: FailureKind, type_name: Text, message: Text, place: Text) -> Self {
        Self(Box::new(Details { kind, type_name, message, place }))
    }

    fn at(type_name: &str, message: &dyn fmt::Display, place: &Location<'_>) -> Self {
        let place = Text::display(&format_args!("{}:{}", place.file(), place.line()));
        Self::from_parts(FailureKind::Error, Text::new(type_name), Text::display(message), place)
    }

    /// A failure that the engine found.
    pub(crate) fn engine(kind: FailureKind, message: &dyn fmt::Display) -> Self {
        Self::from_parts(kind, Text::EMPTY, Text::display(message), Text::EMPTY)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::at(std::any::type_name::<E>(), &error, Location::caller())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.kind {
            FailureKind::Error => "error",
            FailureKind::Panic => "panic",
            FailureKind::Exhausted => "out of memory",
            FailureKind::CommitRefused => "commit refused",
        };
        write!(f, "{kind}: {}", self.0.message)?;
        if !self.0.place.is_empty() {
            write!(f, " ({})", self.0.place)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { kind, type_name, message, place } = &*self.0;
        f.debug_struct("Failure")
            .field("kind", kind)
            .field("type_name", type_name)
            .field("message", message)
            .field("place", place)
            .finish()
    }
}
