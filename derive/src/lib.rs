//! The derive macro behind `crashbed::Recoverable`.
