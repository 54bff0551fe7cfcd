//! The linker that makes `cargo build` emit a component. It calls `wasm-ld`; rustup's toolchains ship both.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use samspel_provision::{Tool, find_executable};

use crate::error::XtaskError;

/// The linker's name.
pub const PROGRAM: &str = "wasm-component-ld";

/// `PATH` with the linker and the `wasm-ld` that it calls in front, unless both are on it already.
pub fn path_with_linker() -> Result<OsString, XtaskError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let bundled = toolchain_binaries()?;
    if bundled.join(PROGRAM).is_file() {
        return Ok(in_front(&[&bundled, &bundled.join("gcc-ld")], path));
    }
    match find_executable(PROGRAM) {
        Some(_) => Ok(path),
        None => Err(XtaskError::NoComponentLinker { searched: bundled }),
    }
}

/// Where a rustup toolchain keeps the programs that are not meant to be called by name.
fn toolchain_binaries() -> Result<PathBuf, XtaskError> {
    let sysroot = Tool::new("rustc").args(["--print", "sysroot"]).output()?;
    let host = Tool::new("rustc")
        .args(["--print", "host-tuple"])
        .output()?;
    Ok(Path::new(sysroot.trim())
        .join("lib")
        .join("rustlib")
        .join(host.trim())
        .join("bin"))
}

fn in_front(directories: &[&Path], path: OsString) -> OsString {
    let rest = env::split_paths(&path).collect::<Vec<_>>();
    let all = directories
        .iter()
        .map(|directory| directory.to_path_buf())
        .chain(rest);
    // Joining fails only for a directory with a colon in its name, which `PATH` cannot express at all.
    env::join_paths(all).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_go_in_front_in_order() {
        let path = in_front(
            &[Path::new("/a"), Path::new("/b")],
            OsString::from("/usr/bin:/bin"),
        );
        assert_eq!(path, "/a:/b:/usr/bin:/bin");
    }

    #[test]
    fn the_toolchain_that_builds_this_has_the_linker_or_says_where_it_looked() {
        match path_with_linker() {
            Ok(path) => assert!(!path.is_empty()),
            Err(error) => assert!(error.to_string().contains("rustlib"), "{error}"),
        }
    }
}
