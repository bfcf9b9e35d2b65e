//! Reads `uri-host [":" port]` (RFC 3986 section 3.2.2, RFC 9110 section 7.2).

use std::net::Ipv6Addr;

/// A valid Host value in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// The host, with its brackets when it is an IPv6 address.
    pub host: &'a str,
    /// The port, when one is given.
    pub port: Option<u16>,
}

impl HostPort<'_> {
    /// Returns the host for routing: lower case, without a trailing dot; an IPv6 address in its shortest form.
    #[must_use]
    pub fn canonical(&self) -> String {
        if let Some(address) = self.host.strip_prefix('[').and_then(|h| h.strip_suffix(']')?.parse::<Ipv6Addr>().ok()) {
            return format!("[{address}]");
        }
        self.host.strip_suffix('.').unwrap_or(self.host).to_ascii_lowercase()
    }
}

/// Reads a Host value; `None` when it is empty or anything but a host with an optional port.
#[must_use]
pub fn host_and_port(text: &str) -> Option<HostPort<'_>> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            let host = text.get(..address.len() + 2)?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (host, port)
        }
        None => {
            let (host, port) = match text.bytes().position(|byte| byte == b':') {
                Some(colon) => (text.get(..colon)?, Some(text.get(colon + 1..)?)),
                None => (text, None),
            };
            if matches!(host, "" | ".") || !host.bytes().all(is_reg_name) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    Some(HostPort { host, port })
}

/// Unreserved characters, percent signs and those sub-delimiters that no list or path uses.
const fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_and_ports() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("Example.COM.:80", "Example.COM.", Some(80)),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("[::1]", "[::1]", None),
            ("[fe80::1]:443", "[fe80::1]", Some(443)),
        ] {
            assert_eq!(host_and_port(text), Some(HostPort { host, port }), "{text}");
        }
        for (text, canonical) in [("Example.COM.:80", "example.com"), ("[0:0:0::01]:80", "[::1]"), ("[FE80::A]", "[fe80::a]")] {
            assert_eq!(host_and_port(text).unwrap().canonical(), canonical);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            ":80",
            "a b",
            "a/b",
            "u@a",
            "a,b",
            "a:99999",
            "a:8x",
            "a:",
            "a:80:80",
            "[::1",
            "[::g]",
            "[::1]x",
            "a\\b",
            "a\"b",
            "ä",
            "a#b",
            "a?b",
            ".",
            ".:80",
            "[::1%25lo]",
        ] {
            assert_eq!(host_and_port(text), None, "{text}");
        }
    }
}
