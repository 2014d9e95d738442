//! Memory that is near a core.

use std::{fs, path::Path};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::config::CoreSet;

/// Does something on a core of the NUMA node that `core` belongs to, so that the memory which is
/// touched by it first lies there. Anywhere, where the machine has one node or none is named.
pub(super) fn to_core<T>(core: Option<usize>, body: impl FnOnce() -> T) -> T {
    let before = core.and_then(|_| sched_getaffinity(None).ok());
    let there = core.and_then(node).zip(before).and_then(|(node, allowed)| {
        let mut set = CpuSet::new();
        let known = |core: &usize| *core < CpuSet::MAX_CPU && allowed.is_set(*core);
        node.into_iter().filter(known).for_each(|core| set.set(core));
        (set.count() > 0).then_some(set)
    });
    // Where it is not allowed, the memory lies where it may.
    let moved = there.is_some_and(|set| sched_setaffinity(None, &set).is_ok());
    let result = body();
    if let Some(before) = before.filter(|_| moved) {
        let _ = sched_setaffinity(None, &before);
    }
    result
}

/// The cores of the node that `core` belongs to.
fn node(core: usize) -> Option<Vec<usize>> {
    let system = Path::new("/sys/devices/system");
    let mut entries = fs::read_dir(system.join(format!("cpu/cpu{core}"))).ok()?.flatten();
    let node = entries.find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let digits = name.strip_prefix("node")?;
        digits.bytes().all(|digit| digit.is_ascii_digit()).then_some(name)
    })?;
    let list = fs::read_to_string(system.join("node").join(node).join("cpulist")).ok()?;
    Some(CoreSet::parse(list.trim()).ok()?.as_slice().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_where_it_was_before() {
        let before = sched_getaffinity(None).expect("the kernel tells");
        let first = (0..CpuSet::MAX_CPU).find(|core| before.is_set(*core));
        for core in [None, first, Some(CpuSet::MAX_CPU - 1)] {
            let inside = to_core(core, || sched_getaffinity(None).expect("the kernel tells"));
            assert!(inside.count() > 0 && inside.count() <= before.count(), "{core:?}");
            assert!((0..CpuSet::MAX_CPU).all(|n| before.is_set(n) || !inside.is_set(n)));
            assert_eq!(sched_getaffinity(None).expect("the kernel tells"), before, "{core:?}");
        }
        let own = first.and_then(node);
        assert!(own.is_none_or(|cores| cores.contains(&first.unwrap_or_default())));
    }
}
