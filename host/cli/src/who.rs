//! Who sits here, for the audit log.

/// The user of the process, and who used `sudo` to become that.
pub fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = user(uid).unwrap_or_else(|| format!("uid-{uid}"));
    let sudo = std::env::var("SUDO_USER").ok();
    match sudo.filter(|by| uid == 0 && !by.is_empty() && by.len() <= 64) {
        Some(by) => format!("cli:{name} (sudo {by})"),
        None => format!("cli:{name}"),
    }
}

/// The name of a user of this machine. One who is kept elsewhere than in the file is told by number.
fn user(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let number = uid.to_string();
    users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, _, id) = (parts.next()?, parts.next()?, parts.next()?);
        (id == number).then(|| name.to_owned())
    })
}
