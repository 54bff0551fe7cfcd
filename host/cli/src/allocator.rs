//! How much freed memory the C library's allocator keeps for itself.

/// Makes glibc give freed memory back. Called first in `main`, before any thread is started.
///
/// Left to itself, glibc gives nearly every thread a heap of its own (up to eight per processor), and each keeps what was
/// freed in it: what compiling a connector needed for a second, and the pages and batches that threads hand to each other.
/// The process then holds half as much again as it uses, and the more the longer it runs. With one heap the allocator needs
/// about a fifth of the computing time of a first sync instead of a sixth (`tests/README.md`).
///
/// Other C libraries are left as they are.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn set_up() {
    const HEAPS: libc::c_int = 1;
    // glibc's own first values. Naming them keeps it from raising both when a large block is freed: blocks of a page's
    // size would then lie among small ones, and leave holes.
    const LARGE_BLOCK: libc::c_int = 128 << 10;
    for (parameter, value) in [
        (libc::M_ARENA_MAX, HEAPS),
        (libc::M_MMAP_THRESHOLD, LARGE_BLOCK),
        (libc::M_TRIM_THRESHOLD, LARGE_BLOCK),
    ] {
        #[expect(
            unsafe_code,
            reason = "glibc has no other way that is not an environment variable"
        )]
        // SAFETY: it takes two numbers and refuses those that it does not understand. No other thread runs yet.
        let _understood = unsafe { libc::mallopt(parameter, value) };
    }
}

/// Nothing to be done.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn set_up() {}
