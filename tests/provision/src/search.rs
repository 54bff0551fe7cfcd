//! Finding what the machine already has.

use std::env;
use std::path::{Path, PathBuf};

/// The first executable file called `program` on `PATH`, or `program` itself where it is a path to one.
#[must_use]
pub fn find_executable(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return executable(&path).then_some(path);
    }
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|path| executable(path))
}

/// Whether this process runs as root, and may therefore install packages by itself.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_program_on_the_path_and_only_real_ones() {
        assert!(find_executable("sh").is_some());
        assert!(find_executable("no-such-program-of-samspel").is_none());
        assert!(find_executable("/etc/passwd").is_none());
    }
}
