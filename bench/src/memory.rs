//! The memory of this process.

use nix::unistd::{SysconfVar, sysconf};

/// Bytes of this process that are in memory; 0 where there is no `/proc`.
pub(crate) fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0);
    pages * page_bytes()
}

fn page_bytes() -> u64 {
    let bytes = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(4_096)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_is_counted() {
        const BYTES: usize = 64 << 20;
        let before = resident();
        let used = std::hint::black_box(vec![1_u8; BYTES]);
        assert!(resident() >= before + used.len() as u64 / 2);
    }
}
