//! The programs that are measured.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};

use crate::error::BenchError;

/// What is measured. All of it stands beside this program, so that all of it was built in one profile.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Samspel.
    pub samspel: PathBuf,
    /// The simulated vendors.
    pub vendors: PathBuf,
    /// The build profile, by cargo's name.
    pub profile: String,
}

impl Programs {
    /// Finds them.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn find() -> Result<Self, BenchError> {
        let ours = std::env::current_exe().map_err(BenchError::system("find this program"))?;
        Ok(Self {
            samspel: beside(&ours, "samspel")?,
            vendors: beside(&ours, "samspel-vendors")?,
            profile: profile(&ours),
        })
    }
}

fn beside(ours: &Path, name: &str) -> Result<PathBuf, BenchError> {
    let program = ours.with_file_name(format!("{name}{EXE_SUFFIX}"));
    if program.is_file() {
        Ok(program)
    } else {
        Err(BenchError::NoProgram { program })
    }
}

/// Cargo keeps each profile's programs in a directory of the profile's name, except for one.
fn profile(program: &Path) -> String {
    let directory = program
        .parent()
        .and_then(Path::file_name)
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match directory.as_str() {
        "debug" => "dev".to_owned(),
        _ => directory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_tells_the_profile() {
        assert_eq!(profile(Path::new("/t/target/debug/samspel-bench")), "dev");
        assert_eq!(
            profile(Path::new("/t/target/release/samspel-bench")),
            "release"
        );
    }
}
