//! How much memory this process had at most.

/// The high-water mark of the resident set in MB (10^6 bytes), from `/proc/self/status` (proc(5): `VmHWM`, in
/// kibibytes). `None` on systems without it.
pub fn peak_rss_mb() -> Option<f64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn parse(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kibibytes * 1024.0 / 1e5).round() / 10.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_high_water_mark_is_read() {
        let status = "Name:\tsamspel\nVmPeak:\t 900000 kB\nVmHWM:\t  100000 kB\nVmRSS:\t 5 kB\n";
        assert_eq!(super::parse(status), Some(102.4));
        assert_eq!(super::parse("Name:\tsamspel\n"), None);
    }
}
