//! What not even a plugin may do: write where no sink writes, read what is not its business, start
//! programs, or reach into the kernel.
//!
//! Files are guarded by Landlock, calls by seccomp. Both are lists of what a capture never needs,
//! no proof that a plugin is harmless: it reads the same memory as we do. A thread that a plugin
//! has started when the config was checked is older than the sandbox; of the two, only seccomp
//! reaches it.

use std::{collections::BTreeMap, path::Path};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::places::{Places, SYSTEM};
use crate::config::Backend;

/// Guards files, on this thread and those that it will start. Returns what there is to say, and
/// whether they are guarded.
pub(super) fn files(places: &Places) -> (String, bool) {
    match guard(places) {
        Ok(RulesetStatus::NotEnforced) => {
            ("this kernel has no Landlock, so files are not guarded".to_owned(), false)
        }
        Ok(_) => (format!("writes only below {}", places.writable()), true),
        Err(error) => (format!("files are not guarded: {error}"), false),
    }
}

fn guard(places: &Places) -> Result<RulesetStatus, RulesetError> {
    let abi = ABI::V3;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let all = AccessFs::from_all(abi);
    let write: BitFlags<AccessFs> =
        all & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
    let beneath = |path: &Path, access: BitFlags<AccessFs>| {
        // What is not there cannot be touched either.
        PathFd::new(path).ok().map(|fd| Ok::<_, RulesetError>(PathBeneath::new(fd, access)))
    };
    let system = SYSTEM.iter().filter_map(|path| beneath(Path::new(path), read));
    let dev = beneath(Path::new("/dev"), AccessFs::WriteFile.into());
    let ruleset = Ruleset::default().handle_access(all)?.create()?;
    let status = ruleset
        .add_rules(system.chain(dev))?
        .add_rules(places.read.iter().filter_map(|path| beneath(path, read)))?
        .add_rules(places.write.iter().filter_map(|path| beneath(path, write)))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Forbids calls that no stage, sink or ring needs, on all threads. Returns what there is to say.
pub(super) fn calls(from: Backend) -> String {
    match forbid(from) {
        Ok(()) => "starts no programs and changes nothing of the system".to_owned(),
        Err(error) => format!("calls are not guarded: {error}"),
    }
}

fn forbid(from: Backend) -> Result<(), Box<dyn std::error::Error>> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let mut numbers = FORBIDDEN.to_vec();
    if from != Backend::AfXdp {
        numbers.push(libc::SYS_bpf);
    }
    if cfg!(target_arch = "x86_64") {
        // The same calls by the numbers of the x32 ABI, where a kernel has it.
        numbers.extend(numbers.clone().iter().map(|number| number | 0x4000_0000));
    }
    let rules: BTreeMap<i64, _> = numbers.into_iter().map(|number| (number, Vec::new())).collect();
    let errno = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch)?;
    seccompiler::apply_filter_all_threads(&BpfProgram::try_from(filter)?)?;
    Ok(())
}

/// Programs, other processes, mounts, namespaces, the kernel itself, the clock, and ways around
/// this list.
const FORBIDDEN: [i64; 49] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_personality,
    libc::SYS_fanotify_init,
];
