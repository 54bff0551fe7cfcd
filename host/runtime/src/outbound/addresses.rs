//! Which addresses a connector may reach by itself: the globally routable ones.
//!
//! A name is resolved here and only the addresses that pass are handed to the connection, so there is no second look-up
//! in between that could answer differently. An address that stands in the URL itself is never resolved and is checked
//! by [`literal`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use url::{Host, Url};

/// What the IANA IPv4 Special-Purpose Address Registry (RFC 6890) does not call globally reachable, and multicast.
const NOT_GLOBAL_V4: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),       // this network; Linux connects 0.0.0.0 to itself
    v4([10, 0, 0, 0], 8),      // private use
    v4([100, 64, 0, 0], 10),   // shared address space of carrier-grade NAT
    v4([127, 0, 0, 0], 8),     // loopback
    v4([169, 254, 0, 0], 16),  // link-local, where clouds serve instance metadata
    v4([172, 16, 0, 0], 12),   // private use
    v4([192, 0, 0, 0], 24),    // IETF protocol assignments
    v4([192, 0, 2, 0], 24),    // documentation
    v4([192, 88, 99, 0], 24),  // 6to4 relay anycast, deprecated
    v4([192, 168, 0, 0], 16),  // private use
    v4([198, 18, 0, 0], 15),   // benchmarking
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved, and limited broadcast
];

/// Global unicast: the only part of IPv6 from which public addresses are given out (RFC 4291, section 2.4). Loopback,
/// unspecified, link-local, unique local, multicast and IPv4-compatible addresses lie outside of it.
const GLOBAL_UNICAST_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// What the IANA IPv6 Special-Purpose Address Registry takes out of global unicast.
const NOT_GLOBAL_V6: &[Ipv6Net] = &[
    v6([0x2001, 0, 0, 0], 23), // IETF protocol assignments: Teredo, benchmarking, ORCHID
    v6([0x2001, 0xdb8, 0, 0], 32), // documentation
    v6([0x2002, 0, 0, 0], 16), // 6to4, which embeds any IPv4 address; deprecated
    v6([0x3fff, 0, 0, 0], 20), // documentation
];

/// IPv4 addresses as a NAT64 gateway embeds them (RFC 6052): as reachable as what they embed.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(start: [u16; 4], length: u8) -> Ipv6Net {
    let [a, b, c, d] = start;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), length)
}

/// A host that is, or resolves to, nothing but addresses that are not globally routable. Does not tell which: a
/// connector is not to learn how names resolve inside the operator's network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0} is not at a public address; a server in the own network is reached through an endpoint override"
)]
pub struct NotPublic(pub String);

/// Whether an address is globally routable.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_GLOBAL_V4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => is_global(IpAddr::V4(inner)),
            None => {
                GLOBAL_UNICAST_V6.contains(&address)
                    && !NOT_GLOBAL_V6.iter().any(|net| net.contains(&address))
            }
        },
    }
}

/// The IPv4 address that a mapped or translated IPv6 address leads to.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let nat64 = || {
        let [.., a, b, c, d] = address.octets();
        NAT64
            .contains(&address)
            .then_some(Ipv4Addr::new(a, b, c, d))
    };
    address.to_ipv4_mapped().or_else(nat64)
}

/// Checks a URL whose host is an address.
///
/// # Errors
/// The address is not globally routable.
pub fn literal(url: &Url) -> Result<(), NotPublic> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if is_global(address) {
        Ok(())
    } else {
        Err(NotPublic(address.to_string()))
    }
}

/// The system's resolver, without the addresses that are not globally routable.
#[derive(Debug, Clone, Copy)]
pub struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            // The port is replaced by the URL's.
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            public(host, found)
        })
    }
}

fn public(
    host: String,
    found: Vec<SocketAddr>,
) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
    }
    let global: Vec<_> = found
        .into_iter()
        .filter(|address| is_global(address.ip()))
        .collect();
    if global.is_empty() {
        return Err(NotPublic(host).into());
    }
    Ok(Box::new(global.into_iter()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn special_purpose_addresses_are_not_global() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_global(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_global_also_through_a_gateway() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_global(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_name_keeps_its_public_addresses_only() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mixed = vec![address("127.0.0.1:0"), address("8.8.8.8:0")];
        let left: Vec<_> = public("mixed".to_owned(), mixed).unwrap().collect();
        assert_eq!(left, [address("8.8.8.8:0")]);
        let error = public("inside".to_owned(), vec![address("10.0.0.1:0")])
            .err()
            .unwrap();
        assert_eq!(
            error.downcast_ref::<NotPublic>(),
            Some(&NotPublic("inside".to_owned()))
        );
    }

    #[test]
    fn every_spelling_of_an_address_is_checked() {
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
        ] {
            assert!(literal(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        assert!(literal(&Url::parse("https://8.8.8.8/").unwrap()).is_ok());
        assert!(literal(&Url::parse("https://example.com/").unwrap()).is_ok());
    }
}
