//! What WASI offers, and what can be seen and used up through it.

use samspel_connector::{Value, json};

#[allow(missing_docs, unsafe_code, clippy::all, unused_qualifications)]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "with-wasi", generate_all });
}

use bindings::wasi::cli::{environment, exit, stdin, stdout};
use bindings::wasi::clocks::monotonic_clock;
use bindings::wasi::filesystem::preopens;
use bindings::wasi::random::random;
use bindings::wasi::sockets::network::IpAddressFamily;
use bindings::wasi::sockets::{
    instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket,
};

const NANOSECONDS: u64 = 1_000_000;

/// Everything that can be seen.
pub fn look() -> Value {
    let environment: Vec<_> = environment::get_environment()
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let directories: Vec<_> = preopens::get_directories()
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    let input = match stdin::get_stdin().blocking_read(1_000) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("{error:?}"),
    };
    let output = stdout::get_stdout().blocking_write_and_flush(b"hostile was here\n");
    let network = instance_network::instance_network();
    let lookup = ip_name_lookup::resolve_addresses(&network, "localhost").map(|_| ());
    json!({
        "environment": environment,
        "arguments": environment::get_arguments(),
        "directory": environment::initial_cwd(),
        "directories": directories,
        "input": input,
        "output": output.is_ok(),
        "lookup": format!("{lookup:?}"),
        "tcp": format!("{:?}", tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4).map(|_| ())),
        "udp": format!("{:?}", udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4).map(|_| ())),
    })
}

/// Waits for so many milliseconds; the instance computes nothing meanwhile.
pub fn wait(milliseconds: u64) {
    monotonic_clock::subscribe_duration(milliseconds.saturating_mul(NANOSECONDS)).block();
}

/// Ends the component.
pub fn leave() {
    exit::exit(Err(()));
}

/// Makes so many resources that the host must remember.
pub fn pollables(amount: u64) -> usize {
    let kept: Vec<_> = (0..amount)
        .map(|_| monotonic_clock::subscribe_duration(NANOSECONDS))
        .collect();
    kept.len()
}

/// Opens so many sockets, if the host lets it, and tells how many that were.
pub fn sockets(amount: u64) -> usize {
    let kept: Vec<_> = (0..amount)
        .map_while(|_| tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4).ok())
        .collect();
    kept.len()
}

/// Lets the host make so many bytes.
pub fn random(amount: u64) -> usize {
    random::get_random_bytes(amount).len()
}
