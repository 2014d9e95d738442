//! The whole engine over the double.
