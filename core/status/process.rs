//! What this process takes of the machine, by proc(5).

use std::{fs, path::Path};

use serde::Serialize;

/// What the process takes; zero where the kernel does not say.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Process {
    /// Bytes of memory that are its own or that it has mapped and touched.
    pub(super) resident_bytes: u64,
    /// Bytes of these that are its own: heap and stacks, without rings and files.
    pub(super) own_bytes: u64,
    /// Bytes of address space.
    pub(super) virtual_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_files: u64,
}

impl Process {
    /// As it is now.
    pub(super) fn look() -> Self {
        let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |name| number(&text, name) << 10;
        Self {
            resident_bytes: kib("VmRSS:"),
            own_bytes: kib("RssAnon:"),
            virtual_bytes: kib("VmSize:"),
            threads: number(&text, "Threads:"),
            open_files: count(Path::new("/proc/self/fd")),
        }
    }
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// The folder is open itself while it is read.
fn count(folder: &Path) -> u64 {
    fs::read_dir(folder).map_or(0, |entries| entries.count().saturating_sub(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_test_takes() {
        let before = Process::look();
        let (file, memory) = (fs::File::open("/dev/null"), vec![1_u8; 32 << 20]);
        let now = Process::look();
        drop((file, memory));
        assert!(now.threads > 0 && now.virtual_bytes > now.resident_bytes, "{now:?}");
        assert!(now.own_bytes >= before.own_bytes + (24 << 20), "{before:?} {now:?}");
        assert!(now.resident_bytes >= now.own_bytes && now.open_files > 0, "{now:?}");
    }
}
