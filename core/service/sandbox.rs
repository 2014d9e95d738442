//! What not even a plugin may do: write where no sink writes, read what is not its business, start
//! programs, or reach into the kernel.
//!
//! Files are guarded by Landlock, calls by seccomp. Both are lists of what a capture never needs,
//! no proof that a plugin is harmless: it reads the same memory as we do. A thread that a plugin
//! has started when the config was checked is older than the sandbox; of the two, only seccomp
//! reaches it.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};
use ringmill_sdk::Role;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::{
    config::{Backend, Config},
    plan::Plan,
};

/// Where the system's own files lie: libraries, certificates, cards, the names of hosts.
const SYSTEM: [&str; 9] =
    ["/usr", "/lib", "/lib32", "/lib64", "/etc", "/proc", "/sys", "/dev", "/run"];

/// What a run reads and writes, besides what is the system's.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    read: BTreeSet<PathBuf>,
    write: BTreeSet<PathBuf>,
}

/// Guards files, on this thread and those that it will start. Returns what there is to say.
pub(super) fn files(config: &Config, plan: &Plan) -> String {
    let places = Places::of(config, plan);
    let shown: Vec<_> = places.write.iter().map(|path| path.display().to_string()).collect();
    let shown = if shown.is_empty() { "nowhere".to_owned() } else { shown.join(", ") };
    match places.guard() {
        Ok(RulesetStatus::NotEnforced) => {
            "this kernel has no Landlock, so files are not guarded".to_owned()
        }
        Ok(_) => format!("writes only below {shown}"),
        Err(error) => format!("files are not guarded: {error}"),
    }
}

impl Places {
    fn of(config: &Config, plan: &Plan) -> Self {
        let mut places = Self::default();
        let engine = &config.engine;
        places.read(config.document.path());
        places.write.extend(engine.ledger.as_deref().map(|file| existing(file, true)));
        places.write.extend(engine.spill.as_deref().map(|folder| existing(folder, false)));
        places.write.extend(engine.writable.iter().map(|folder| existing(folder, false)));
        config
            .status
            .iter()
            .flat_map(|status| &status.token_file)
            .for_each(|file| places.read(file));
        for pattern in config.capture.files.iter().filter(|file| *file != "-") {
            let fixed = pattern.split(['*', '?', '[']).next().unwrap_or_default();
            places.read(Path::new(if fixed.len() == pattern.len() || fixed.ends_with('/') {
                fixed
            } else {
                fixed.rsplit_once('/').map_or(".", |(folder, _)| folder)
            }));
        }
        for (role, plugged, options) in plan.blueprint.options() {
            plugged.plugin.iter().for_each(|file| places.read(file));
            let table = plugged.options.parse::<toml::Table>().unwrap_or_default();
            for option in options.iter().filter(|option| option.kind == "path") {
                let set =
                    table.get(&option.name).and_then(|value| value.as_str()).map(PathBuf::from);
                let default = || {
                    let text = format!("default = {}", option.default.as_deref()?);
                    let table = text.parse::<toml::Table>().ok()?;
                    Some(PathBuf::from(table.get("default")?.as_str()?))
                };
                match set.or_else(default) {
                    // A store's password and the like; all else that a sink names it writes.
                    Some(path) if role == Role::Stage || option.name.ends_with("_file") => {
                        places.read(&path);
                    }
                    Some(path) if path != Path::new("-") && !is_device(&path) => {
                        places.write.insert(existing(&path, !path.is_dir()));
                    }
                    _ => {}
                }
            }
        }
        places
    }

    /// The folder of a file too: what is written anew is renamed into its place.
    fn read(&mut self, path: &Path) {
        self.read.insert(existing(path, !path.is_dir()));
    }

    fn guard(&self) -> Result<RulesetStatus, RulesetError> {
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
            .add_rules(self.read.iter().filter_map(|path| beneath(path, read)))?
            .add_rules(self.write.iter().filter_map(|path| beneath(path, write)))?
            .restrict_self()?;
        Ok(status.ruleset)
    }
}

/// The path itself, or the nearest folder above it that is there; that of a file, if it `is_file`.
fn existing(path: &Path, is_file: bool) -> PathBuf {
    let mut at = path;
    if is_file {
        at = at.parent().unwrap_or(at);
    }
    while !at.as_os_str().is_empty() && !at.is_dir() {
        at = at.parent().unwrap_or(Path::new(""));
    }
    let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
    at.canonicalize().unwrap_or_else(|_| at.to_owned())
}

fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.file_type().is_char_device())
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_not_there_yet_is_guarded_by_the_folder_above() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().canonicalize().expect("it is there");
        fs::write(at.join("file"), "").expect("room");
        let here = Path::new(".").canonicalize().expect("it is there");
        let rows: &[(PathBuf, bool, &Path)] = &[
            (at.clone(), false, &at),
            (at.join("file"), true, &at),
            (at.join("new"), true, &at),
            (at.join("new/new/new"), false, &at),
            (PathBuf::from("new.json"), true, &here),
            (PathBuf::from("new"), false, &here),
            (PathBuf::from("/new"), true, Path::new("/")),
        ];
        for (path, is_file, expected) in rows {
            assert_eq!(existing(path, *is_file), *expected, "{}", path.display());
        }
    }

    #[test]
    fn what_a_config_names_is_read_or_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().canonicalize().expect("it is there");
        for name in ["keys", "ledgers", "spill", "parquet", "jsonl", "more", "captures", "tokens"] {
            fs::create_dir(at.join(name)).expect("room");
        }
        let key = at.join("keys/key");
        fs::write(&key, "0123456789abcdef".repeat(4)).expect("room");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&key, mode).expect("it is ours");
        let text = "[engine]\nledger = \"AT/ledgers/l.json\"\nspill = \"AT/spill\"\n\
             writable = [\"AT/more\"]\n[status]\nlisten = \"127.0.0.1:1\"\n\
             token_file = \"AT/tokens/token\"\n\
             [capture]\nfrom = \"file\"\nfiles = [\"AT/captures/*.pcap\"]\n\
             [[stage]]\nuse = \"decode\"\n[[stage]]\nuse = \"http\"\nkey_file = \"AT/keys/key\"\n\
             [[stage]]\nuse = \"redact\"\n[[stage]]\nuse = \"truncate\"\n\
             [[sink]]\nuse = \"parquet\"\ndirectory = \"AT/parquet/new\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = \"AT/jsonl/out.jsonl\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = \"-\"\n\
             [[sink]]\nuse = \"jsonl\"\npath = \"/dev/null\"\n";
        let text = text.replace("AT", &at.display().to_string());
        let config = crate::config::parse(&at.join("test.toml"), text).expect("it is good");
        let run = std::sync::Arc::new(crate::host::Run::new(None).expect("randomness"));
        let plan = Plan::new(&config, &[], &run).expect("it is good");
        let all = |names: &[&str]| names.iter().map(|name| at.join(name)).collect();
        let mut read: BTreeSet<_> = all(&["captures", "keys", "tokens"]);
        read.insert(at.clone());
        let write = all(&["jsonl", "ledgers", "more", "parquet", "spill"]);
        assert_eq!(Places::of(&config, &plan), Places { read, write });
    }
}
