//! Restart policies for `crashbed`.
