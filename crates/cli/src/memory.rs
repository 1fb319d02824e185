//! How much memory there is for us: that of the machine, or what a container leaves of it.

use std::fs;

const MIB: u64 = 1024 * 1024;
/// The part of it that a server keeps for its triggers, unless told otherwise.
const SHARE: u64 = 16;
/// At least this much, so that one declaration with all of its inputs fits.
const LEAST: u64 = 256 * MIB;
const MOST: u64 = 2048 * MIB;

/// What a server keeps for its triggers, in bytes.
pub(crate) fn share() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_meminfo(&text));
    // Of a container both versions have their file at the root.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min();
    part(machine.into_iter().chain(limit).min())
}

fn part(memory: Option<u64>) -> u64 {
    memory.map_or(LEAST, |memory| (memory / SHARE).clamp(LEAST, MOST))
}

fn of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_what_there_is_within_bounds() {
        assert_eq!(of_meminfo("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), Some(24_576_000 * 1024));
        assert_eq!(of_meminfo("nothing"), None);
        assert_eq!(part(None), LEAST);
        assert_eq!(part(Some(512 * MIB)), LEAST);
        assert_eq!(part(Some(8192 * MIB)), 512 * MIB);
        assert_eq!(part(Some(1 << 50)), MOST);
        assert!((LEAST..=MOST).contains(&share()));
    }
}
