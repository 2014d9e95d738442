//! What the engine may do that others may not, and how it gets rid of it.
//!
//! Capabilities and the sandbox belong to a thread and are inherited by those that it starts,
//! so [`confine`] is called before the first thread of a run. The user is one of the whole process
//! (the C library tells every thread), whoever started them. What remains is handed back thread
//! by thread: the workers keep what opens a ring again, the others keep nothing.

use nix::unistd::{Gid, User, getgrouplist, setgroups, setresgid, setresuid};
use rustix::{
    process::getuid,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
        set_capabilities, set_keep_capabilities,
    },
};

use crate::config::{Backend, Clock, Config};

/// What a worker needs to open rings, and to open them again when an interface comes back.
fn for_rings(config: &Config, from: Backend) -> CapabilitySet {
    let clock = config.capture.live.as_ref().map(|live| live.clock);
    match from {
        Backend::File => CapabilitySet::empty(),
        Backend::AfPacket if clock == Some(Clock::Hardware) => {
            CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN
        }
        Backend::AfPacket => CapabilitySet::NET_RAW,
        Backend::PfRing => CapabilitySet::NET_RAW | CapabilitySet::NET_ADMIN,
        Backend::AfXdp => {
            CapabilitySet::NET_RAW
                | CapabilitySet::NET_ADMIN
                | CapabilitySet::BPF
                | CapabilitySet::IPC_LOCK
        }
    }
}

/// Becomes the user of the config, on all threads; this one, and those that it will start, may
/// still open rings and read key files. Returns what there is to say of it.
///
/// # Errors
/// What is wrong with the user, and what to do.
pub(super) fn become_user(config: &Config, from: Backend) -> Result<String, String> {
    let name = config.engine.user.as_deref();
    if !getuid().is_root() {
        let now = nix::unistd::getuid();
        let own = User::from_uid(now).ok().flatten().map(|user| user.name);
        let shown = own.clone().unwrap_or_else(|| now.to_string());
        return match name {
            Some(name) if own.as_deref() != Some(name) => Err(format!(
                "only root can become `{name}`, and this is `{shown}`; leave `user` out, or start \
                 as root"
            )),
            _ => Ok(format!("runs as `{shown}`")),
        };
    }
    let Some(name) = name else {
        return Ok("runs as root; `user` under [engine] names another".to_owned());
    };
    let failed = |what: &str, error: nix::Error| format!("cannot {what} `{name}`: {error}");
    let user = User::from_name(name).map_err(|error| failed("look up the user", error))?;
    let Some(user) = user.filter(|user| !user.uid.is_root()) else {
        return Err(format!(
            "there is no user `{name}` but root; `useradd --system {name}` makes one"
        ));
    };
    let keep = for_rings(config, from) | CapabilitySet::DAC_READ_SEARCH;
    for unneeded in CapabilitySet::all().difference(keep) {
        // The kernel may know fewer than we do.
        let _ = remove_capability_from_bounding_set(unneeded);
    }
    let c_name = std::ffi::CString::new(name).map_err(|error| error.to_string())?;
    let groups: Vec<Gid> =
        getgrouplist(&c_name, user.gid).map_err(|error| failed("look up the groups of", error))?;
    set_keep_capabilities(true)
        .map_err(|error| format!("cannot keep what opens rings as `{name}`: {error}"))?;
    setgroups(&groups).map_err(|error| failed("take the groups of", error))?;
    setresgid(user.gid, user.gid, user.gid).map_err(|error| failed("take the group of", error))?;
    setresuid(user.uid, user.uid, user.uid).map_err(|error| failed("become", error))?;
    set(keep).map_err(|error| format!("cannot reduce the rights of `{name}`: {error}"))?;
    let reads = "files that a reload reads must be readable for it";
    Ok(format!("runs as `{name}`, which keeps {}; {reads}", names(for_rings(config, from))))
}

/// Keeps on this thread what opens a ring again. Root keeps everything.
pub(crate) fn keep_for_rings(config: &Config, from: Backend) {
    reduce(for_rings(config, from));
}

/// Keeps no rights on this thread. Root keeps everything.
pub fn renounce() {
    reduce(CapabilitySet::empty());
}

fn reduce(to: CapabilitySet) {
    if getuid().is_root() {
        return;
    }
    let reduced = capabilities(None).and_then(|now| {
        let keep = now.permitted & to;
        if now.permitted == keep { Ok(()) } else { set(keep) }
    });
    if let Err(error) = reduced {
        tracing::warn!("a thread keeps rights that it does not need: {error}");
    }
}

fn set(keep: CapabilitySet) -> rustix::io::Result<()> {
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: keep, permitted: keep, inheritable })
}

fn names(set: CapabilitySet) -> String {
    let names: Vec<_> = set.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
    if names.is_empty() { "no rights".to_owned() } else { names.join(", ") }
}
