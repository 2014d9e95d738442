//! Synthetic captures, read by libraries that know nothing of how they were made.

mod common;
mod frames;
mod messages;
