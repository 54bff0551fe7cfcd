//! What a process uses of the machine.

/// Memory and computing time of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// The most memory that was resident, in MB (10^6 bytes).
    pub peak_rss_mb: f64,
    /// The memory that is resident, in MB.
    pub rss_mb: f64,
    /// Computing time, of the process and for it in the kernel, on all processors, in seconds.
    pub cpu_seconds: f64,
}

impl Usage {
    /// Of a process that runs. `None` if it has ended, and on systems that do not tell.
    ///
    /// The numbers are those of `/proc` (proc(5): `VmHWM`, `VmRSS`, `utime`, `stime`). What `wait4` tells after the end
    /// is no substitute: its `ru_maxrss` counts the memory of the process that a child was forked from.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn of(process: u32) -> Option<Self> {
        let process = procfs::process::Process::new(i32::try_from(process).ok()?).ok()?;
        // A process that has ended and was not waited for has no memory.
        let status = process.status().ok()?;
        let megabytes = |kibibytes: u64| kibibytes as f64 * 1024.0 / 1e6;
        let stat = process.stat().ok()?;
        Some(Self {
            peak_rss_mb: megabytes(status.vmhwm?),
            rss_mb: megabytes(status.vmrss?),
            cpu_seconds: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
        })
    }

    /// Of a process that runs: unknown on this system.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub fn of(_process: u32) -> Option<Self> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_process_is_known_while_it_runs() {
        let before = Usage::of(std::process::id()).unwrap();
        let block = vec![1_u8; 64 << 20];
        assert!(block.iter().map(|byte| u64::from(*byte)).sum::<u64>() > 0);
        let after = Usage::of(std::process::id()).unwrap();
        assert!(
            after.peak_rss_mb > before.peak_rss_mb + 30.0,
            "{before:?} {after:?}"
        );
        assert!(after.cpu_seconds >= before.cpu_seconds);
        assert_eq!(Usage::of(u32::MAX), None);
    }
}
