//! Understands single values: addresses, durations, shares, names, hosts, networks; each refusal says how to write it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, header};
use ipnet::IpNet;

use crate::config::surroundings::Surroundings;
use crate::domain::address::{Address, InvalidAddress};
use crate::domain::destination;
use crate::domain::endpoint::{Endpoint, InvalidEndpoint, is_host};
use crate::domain::route::HostPattern;
use crate::formats::yaml::place::{At, Report};

/// The longest time-out.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// Reads a value whose own error says how to write it.
pub(super) fn parsed<T: FromStr<Err: ToString>>(text: &At<String>, hint: &str, report: &Report<'_>) -> Option<T> {
    text.value.parse().map_err(|error: T::Err| report.error(&text.place, error.to_string(), hint)).ok()
}

/// Reads the bound on a chance: above 0, at most 0.5.
pub(super) fn chance(text: &At<String>, report: &Report<'_>) -> Option<f64> {
    match text.value.parse::<f64>() {
        Ok(chance) if chance > 0.0 && chance <= 0.5 => Some(chance),
        _ => {
            let message = format!("{:?} is not a chance above 0 and at most 0.5", text.value);
            report.error(&text.place, message, "write a number such as 0.001, which is once in 1000");
            None
        }
    }
}

/// Reads an address to listen on; names are not resolved.
pub(super) fn address(text: &At<String>, report: &Report<'_>) -> Option<SocketAddr> {
    let spelled = text.value.as_str();
    if let Ok(address) = spelled.parse() {
        return Some(address);
    }
    let hint = if let Ok(ip) = spelled.trim_matches(['[', ']']).parse::<IpAddr>() {
        format!("add a port: {}", SocketAddr::new(ip, 8080))
    } else {
        let port = spelled.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        match (spelled.split_once(':'), port) {
            (Some(("" | "*", _)), Some(port)) => format!("write 0.0.0.0:{port} for every IPv4 address, [::]:{port} for every address"),
            (Some(("localhost", _)), Some(port)) => format!("write 127.0.0.1:{port}"),
            (None, Some(port)) => format!("write 127.0.0.1:{port}, or 0.0.0.0:{port} for every IPv4 address"),
            _ => "write an IP address with a port from 0 to 65535, such as 127.0.0.1:8080 or [::1]:8080".to_owned(),
        }
    };
    report.error(&text.place, format!("{spelled:?} is not an address to listen on"), hint);
    None
}

/// Reads where traffic comes in: an address with a port, or the path of a Unix socket.
pub(super) fn listener(text: &At<String>, report: &Report<'_>) -> Option<Address> {
    if !Address::is_path(&text.value) {
        return address(text, report).map(Address::Ip);
    }
    let wrong = |error: InvalidAddress| {
        report.error(&text.place, format!("{:?} is not a Unix socket to listen on", text.value), error.to_string());
    };
    text.value.parse().map_err(wrong).ok()
}

/// Reads peers of which more is believed: networks, and `unix` for all that come over Unix sockets; returns whether those are.
pub(super) fn peers(texts: &[At<String>], report: &Report<'_>) -> (bool, Vec<IpNet>) {
    let (sockets, networks): (Vec<_>, Vec<_>) = texts.iter().partition(|text| text.value == "unix");
    (!sockets.is_empty(), networks.into_iter().filter_map(|text| network(text, report)).collect())
}

/// Reads where a version listens: an address, a socket, or a host name, with where that leads now.
pub(super) fn endpoint(text: &At<String>, around: &Surroundings<'_>, report: &Report<'_>) -> Option<(Endpoint, Vec<SocketAddr>)> {
    let spelled = text.value.as_str();
    let endpoint = match spelled.parse::<Endpoint>() {
        Ok(endpoint) => endpoint,
        Err(InvalidEndpoint(hint)) => {
            report.error(&text.place, format!("{spelled:?} is not an endpoint"), hint);
            return None;
        }
    };
    if matches!(endpoint, Endpoint::Slices(_)) && !around.watches_clusters {
        let hint = "build it with 'cargo build --release --features kubernetes', or write the name of the Service as a host, with its port";
        report.error(&text.place, "this program was built without the feature kubernetes and watches no cluster", hint);
        return None;
    }
    let Endpoint::Name { host, .. } = &endpoint else { return Some((endpoint, Vec::new())) };
    let resolved = (around.resolve)(spelled)
        .and_then(|addresses| if addresses.is_empty() { Err(std::io::Error::other("the name has no address")) } else { Ok(addresses) });
    match resolved {
        Ok(addresses) => {
            let led = destination::chosen(addresses);
            if led.is_empty() {
                let hint = "let the name lead to the version, not to a link-local, multicast or unspecified address";
                report.error(&text.place, format!("the host name {host:?} leads to no address that may be connected to"), hint);
                return None;
            }
            Some((endpoint, led))
        }
        Err(error) if around.awaits_names => {
            let message = format!("the host name {host:?} cannot be resolved yet, and nothing is sent there until it can: {error}");
            report.note(
                &text.place,
                message,
                "it is asked for again and again; see that the name is right and the resolver can be reached",
            );
            Some((endpoint, Vec::new()))
        }
        Err(error) => {
            let hint = "see that the name is right and the resolver can be reached, or write the IP address";
            report.error(&text.place, format!("the host name {host:?} cannot be resolved: {error}"), hint);
            None
        }
    }
}

/// Reads a network such as `10.0.0.0/8`.
pub(super) fn network(text: &At<String>, report: &Report<'_>) -> Option<IpNet> {
    let spelled = text.value.as_str();
    let hint = match spelled.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => return Some(network),
        Ok(network) => format!("the address has bits beyond the prefix; write {}", network.trunc()),
        Err(_) => match spelled.parse::<IpAddr>() {
            Ok(ip) => format!("add the length of the prefix: {}", IpNet::from(ip)),
            Err(_) => "write a network such as 10.0.0.0/8 or fd00::/8, or unix for Unix sockets".to_owned(),
        },
    };
    report.error(&text.place, format!("{spelled:?} is not a network"), hint);
    None
}

/// Reads the host a service answers to, in lower case, or a wildcard for one label.
pub(super) fn host(text: &At<String>, report: &Report<'_>) -> Option<HostPattern> {
    if let Ok(pattern) = text.value.parse() {
        return Some(pattern);
    }
    let lower = text.value.to_ascii_lowercase();
    let hint = match lower.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && is_host(host) => format!("leave out the port: {host}"),
        _ if lower.contains('*') => {
            "a '*' stands for the first label alone: write *.example.com, or leave 'hosts' out for every host".to_owned()
        }
        _ => "write a host name such as carts.example.com, without a scheme, port or path".to_owned(),
    };
    report.error(&text.place, format!("{:?} is not a host name", text.value), hint);
    None
}

/// Reads a size such as `64KiB`, at most `most` bytes.
pub(super) fn bytes(text: &At<String>, most: usize, report: &Report<'_>) -> Option<usize> {
    let spelled = text.value.trim();
    let read = || {
        let (number, unit) = spelled.split_at(spelled.find(|c: char| !c.is_ascii_digit())?);
        let unit = match unit.trim_start() {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return None,
        };
        number.parse::<usize>().ok()?.checked_mul(unit).filter(|bytes| *bytes <= most)
    };
    let read = read();
    if read.is_none() {
        let hint = format!("write a number with B, KiB or MiB, such as 64KiB, and at most {} KiB", most >> 10);
        report.error(&text.place, format!("{:?} is not a size in range", text.value), hint);
    }
    read
}

/// Reads the name of a field that a client can bring as far as here.
pub(super) fn field(text: &At<String>, name: &str, report: &Report<'_>) -> Option<HeaderName> {
    let Ok(name) = HeaderName::try_from(name) else {
        report.error(&text.place, format!("{name:?} is not the name of a header"), "write a name such as x-tenant");
        return None;
    };
    if name == header::HOST {
        report.error(&text.place, "the host is told apart by 'hosts'", "write hosts: [carts.example.com]");
        return None;
    }
    if REMOVED.contains(&name.as_str()) || name.as_str().starts_with("x-portcullis-") || name.as_str().contains('_') {
        let message = format!("the header {name} is taken out of every request before anybody looks at it");
        report.error(&text.place, message, "write another header");
        return None;
    }
    Some(name)
}

/// Fields of one hop and of the framing, which are never passed on.
const REMOVED: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Returns a path of the file relative to its folder, and a path of a flag relative to the working directory.
pub(super) fn located(text: &At<String>, base: &Path) -> PathBuf {
    if text.place.spot.is_some() { base.join(&text.value) } else { PathBuf::from(&text.value) }
}
