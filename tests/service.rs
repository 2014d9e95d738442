//! The engine as a service: what it tells the service manager, what an operator sees of a plugin
//! that hangs or leaks, and what is left of its rights once it runs.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

#[allow(dead_code, reason = "the page has tests of its own, which use the rest")]
#[path = "status/browser.rs"]
mod browser;
mod common;
#[path = "service/manager.rs"]
mod manager;
#[path = "common/net.rs"]
mod net;
#[path = "service/rights.rs"]
mod rights;
#[path = "service/scene.rs"]
mod scene;
#[path = "service/terminal.rs"]
mod terminal;
#[path = "service/trouble.rs"]
mod trouble;
