//! Keeps memory to the process: it holds keys, and addresses as they were on the wire.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

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
