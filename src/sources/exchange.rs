//! One HTTP/1.1 exchange with a source on a connection of its own, in clear text or over TLS.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What the connection is encrypted with, and whom the certificate must be for.
#[derive(Clone)]
pub(super) struct Secure {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

/// Why an exchange did not end with a whole answer.
pub(super) enum Broken {
    /// The answer is longer than allowed.
    Long,
    /// The connection broke, or the bytes on it were no HTTP.
    Connection(String),
}

/// Connects to the first address of a host that lets us; addresses that no source can have are not even tried.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((host, port)).await.map_err(|error| format!("{host} has no address: {error}"))?.collect();
    let mut why = format!("{host} has no address");
    for address in found {
        if is_forbidden(address.ip()) {
            why = format!("{host} is {}, an address that no source has", address.ip());
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => why = format!("no connection to {address}: {error}"),
        }
    }
    Err(why)
}

/// Says whether an address is none of a source: link-local, where clouds keep what their machines may know, or of nobody or
/// many.
fn is_forbidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_broadcast() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
    }
}

/// Sends a request and reads its answer of at most `most` bytes to the end.
pub(super) async fn exchange(
    socket: TcpStream,
    secure: Option<&Secure>,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Response<Bytes>, Broken> {
    match secure {
        None => over(socket, request, most).await,
        Some(Secure { connector, name }) => {
            let encrypted = connector.connect(name.clone(), socket).await;
            over(encrypted.map_err(|error| Broken::Connection(format!("no TLS: {error}")))?, request, most).await
        }
    }
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>, most: usize) -> Result<Response<Bytes>, Broken>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let broken = |error: &dyn std::error::Error| Broken::Connection(error.to_string());
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await;
        let body =
            body.map_err(|error| if error.is::<LengthLimitError>() { Broken::Long } else { Broken::Connection(error.to_string()) })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection ends when the answer is complete or never will be; the answer knows which.
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_no_source_has_are_not_connected_to() {
        for forbidden in
            ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1"]
        {
            assert!(is_forbidden(forbidden.parse().unwrap()), "{forbidden}");
        }
        for allowed in ["127.0.0.1", "10.0.0.1", "192.0.2.1", "2001:db8::1", "fd00::1", "::1"] {
            assert!(!is_forbidden(allowed.parse().unwrap()), "{allowed}");
        }
    }

    #[tokio::test]
    async fn a_host_at_a_forbidden_address_is_refused_with_the_reason() {
        let why = connect("169.254.169.254", 80).await.unwrap_err();
        assert!(why.contains("an address that no source has"), "{why}");
    }
}
