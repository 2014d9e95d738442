//! Keeps memory to the process: it holds keys, and addresses as they were on the wire.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic, thread,
};

use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
    thread::set_no_new_privs,
};

/// No core file, whatever happens, and no debugger of the same user.
///
/// Both, because the limit alone does not hold where `core_pattern` pipes cores to a program,
/// and a limit is inherited and shown by `/proc/PID/limits`. An engine with file capabilities
/// (`setcap`) begins without core files, and stays so.
pub(super) fn no_core_files() {
    let undumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none);
    if let Err(error) = undumpable.and(limited) {
        tracing::warn!("core files could not be turned off; one would hold keys: {error}");
    }
}

/// No program that this process starts has more rights than it has.
pub(super) fn no_new_privileges() {
    if let Err(error) = set_no_new_privs(true) {
        tracing::warn!("programs could gain rights: {error}");
    }
}

/// Of a panic outside of stages and sinks, whose own are errors, tells where it was, and its
/// message only if that stands in the code as it is: others may hold what was in a packet.
pub(super) fn panics_tell_no_data() {
    panic::set_hook(Box::new(|info| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("unnamed").to_owned();
        let place = info.location().map(|at| format!(" at {}:{}", at.file(), at.line()));
        let place = place.unwrap_or_default();
        let message = info.payload().downcast_ref::<&'static str>().copied();
        let message = message.unwrap_or("its message may hold data and is not shown");
        super::complain(&format!("thread `{name}` panicked{place}: {message}"));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            super::complain(&backtrace.to_string());
        }
    }));
}
