//! Which addresses a provider may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::{BoxError, Error, ErrorKind};

/// Whether providers on private addresses may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Private {
    Refused,
    Allowed,
}

impl Private {
    /// The addresses of a name that may be connected to. It sits between the look-up and the connection, so a name that changes
    /// its address after it was checked gains nothing.
    pub(super) async fn resolve(
        self,
        name: &str,
    ) -> Result<std::vec::IntoIter<SocketAddr>, BoxError> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        let allowed: Vec<SocketAddr> = found.filter(|addr| self.allows(addr.ip())).collect();
        match allowed.is_empty() {
            true => Err(refused(name).into()),
            false => Ok(allowed.into_iter()),
        }
    }

    /// Refuses a URL's host if it is a private address by itself, or a number that some resolvers take for an address.
    pub(super) fn admit(self, host: &str) -> Result<(), Error> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let allowed = match literal.parse::<IpAddr>() {
            Ok(ip) => self.allows(ip),
            Err(_) => self == Self::Allowed || !ends_in_number(host),
        };
        match allowed {
            true => Ok(()),
            false => Err(refused(host)),
        }
    }

    fn allows(self, ip: IpAddr) -> bool {
        self == Self::Allowed || is_public(ip)
    }
}

/// Whether a host is an IPv4 address in one of its odd spellings, such as `2130706433` or `0x7f.1`.
fn ends_in_number(host: &str) -> bool {
    let last = host
        .trim_end_matches('.')
        .rsplit('.')
        .next()
        .unwrap_or_default();
    let digits = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    match digits {
        Some(hex) => hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// The error for a host without a public address.
fn refused(host: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "`{host}` has no public address; if it is meant to be local, allow private addresses for its provider"
        ),
    )
}

/// Whether an address is on the public internet: not private, loopback, link-local, shared, multicast or reserved.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        [0 | 10 | 127 | 224.., ..]
            | [100, 64..=127, ..] // carrier-grade NAT
            | [169, 254, ..] // link-local, and the metadata services of clouds
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18..=19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let inner = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high, low].map(u16::to_be_bytes);
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => inner(high, low), // IPv4-mapped
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low), // NAT64
        [0x2002, high, low, ..] => inner(high, low),            // 6to4
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first), // all that is assigned as global unicast
    }
}
