//! How much memory the process has, and may have.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns how much memory the process has, in bytes.
pub(super) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Returns how much memory the process's control group may have, in bytes; `None` where that is not limited.
pub(super) fn memory_of_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    smallest_limit(Path::new("/sys/fs/cgroup"), own).or_else(|| limit_in(Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes")))
}

/// Returns the smallest limit of a group and those above it (cgroup v2).
fn smallest_limit(root: &Path, group: &str) -> Option<u64> {
    let mut folder: PathBuf = root.join(group.trim_start_matches('/'));
    let mut smallest = None;
    while folder.starts_with(root) {
        smallest = [smallest, limit_in(&folder.join("memory.max"))].into_iter().flatten().min();
        if !folder.pop() {
            break;
        }
    }
    smallest
}

fn limit_in(file: &Path) -> Option<u64> {
    // Without a limit there is `max`, and in version 1 a number beyond all memory.
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|limit| *limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_of_a_group_and_its_parents_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a/b");
        fs::create_dir_all(&group).unwrap();
        let limit = |path: &str, text: &str| fs::write(root.path().join(path), text).unwrap();
        assert_eq!(smallest_limit(root.path(), "/a/b"), None);
        limit("a/b/memory.max", "max\n");
        assert_eq!(smallest_limit(root.path(), "/a/b"), None);
        limit("a/memory.max", "1000\n");
        assert_eq!(smallest_limit(root.path(), "/a/b"), Some(1000));
        limit("a/b/memory.max", "2000\n");
        limit("memory.max", "9223372036854771712\n");
        assert_eq!(smallest_limit(root.path(), "/a/b"), Some(1000));
    }

    #[test]
    fn this_process_uses_some() {
        assert!(resident() > 1 << 20);
    }
}
