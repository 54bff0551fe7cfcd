//! Free ports.

use std::net::{Ipv4Addr, TcpListener};

use samspel_provision::ProvisionError;

use crate::error::LiveError;

/// A port of the loopback interface that nothing listens on. It is given back before it is returned, for a server that
/// binds it itself; the kernel hands out other ports first before it repeats one.
pub fn free_port() -> Result<u16, LiveError> {
    let port = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
    Ok(port()
        .map_err(ProvisionError::file("bind a port of", "127.0.0.1"))?
        .port())
}
