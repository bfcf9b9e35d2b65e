//! Makes connections to a version's endpoints as its transport says: TCP or Unix socket, TLS, HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::domain::endpoint::Endpoint;
use crate::domain::outcome::Failure;
use crate::domain::transport::{Protocol, Transport};
use crate::proxy::plain::Plain;
use crate::proxy::upstream::connect::{Link, Scratch, connect};
use crate::proxy::upstream::http2::lane::{Berth, Crowd, Lane};
use crate::proxy::upstream::secure::Secure;
use crate::proxy::upstream::socket::Socket;

/// What carries one request.
pub enum Conduit {
    /// A connection to itself.
    Http1(Link),
    /// A place on a shared one.
    Http2(Berth),
}

/// A fresh connection.
pub enum Dialed {
    /// For one request at a time.
    Http1(Link),
    /// For many.
    Http2(Rc<Lane>),
}

/// Makes one worker's connections to one version.
pub struct Dialer {
    protocol: Protocol,
    secure: Option<Secure>,
    /// The same for connections that must not turn out to carry many requests, where `secure` may agree on that.
    alone: Option<Secure>,
    multiplexes: bool,
    scratch: Scratch,
    crowd: Crowd,
}

impl Dialer {
    /// Prepares for a version's transport; connections read into `scratch`, and count their requests in `crowd` where they carry many.
    pub fn new(transport: &Transport, scratch: &Scratch, crowd: &Crowd) -> Self {
        let secure = transport.tls.clone().map(|tls| Secure::new(tls, transport.protocol));
        let alone = transport.tls.clone().filter(|_| transport.may_multiplex()).map(|tls| Secure::new(tls, Protocol::Http1));
        let (scratch, crowd) = (Rc::clone(scratch), Rc::clone(crowd));
        Self { protocol: transport.protocol, secure, alone, multiplexes: transport.may_multiplex(), scratch, crowd }
    }

    /// Says whether a connection may turn out to carry many requests at once.
    pub const fn may_multiplex(&self) -> bool {
        self.multiplexes
    }

    /// Returns the buffer that connections read into.
    pub const fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Counts a sweep, one of which comes with every round of the patrol.
    pub fn sweep(&self) {
        [&self.secure, &self.alone].into_iter().flatten().for_each(Secure::sweep);
    }

    /// Says whether nothing but HTTP/2 is spoken, over which no connection can switch to another protocol.
    pub fn is_http2_only(&self) -> bool {
        self.protocol == Protocol::Http2
    }

    /// Connects and shakes hands where there is TLS, within `limit`, for a connection that carries one request or none.
    ///
    /// # Errors
    ///
    /// Returns who failed and how. That a version speaks nothing but HTTP/2 after all is no failure of the version's.
    pub async fn dial_alone(&self, endpoint: &Endpoint, limit: Duration) -> Result<Link, Failure> {
        let dialing = async {
            let socket = connect(endpoint).await?;
            let Some(secure) = self.alone.as_ref().or(self.secure.as_ref()) else {
                return Ok(Link::new(Socket::Plain(socket), &self.scratch));
            };
            let shaking = Box::pin(secure.shake_hands(socket, endpoint.address().as_ref().map(SocketAddr::ip)));
            match shaking.await {
                Ok((stream, _)) => Ok(Link::new(Socket::Tls(stream), &self.scratch)),
                Err(Failure::TlsHandshake) if self.multiplexes => Err(Failure::NoEndpoint),
                Err(failure) => Err(failure),
            }
        };
        tokio::time::timeout(limit, dialing).await.unwrap_or(Err(Failure::ConnectionTimeout))
    }

    /// Connects, shakes hands where there is TLS, and begins HTTP/2 where that is spoken; all of it within `limit`.
    ///
    /// # Errors
    ///
    /// Returns who failed and how.
    pub async fn dial(&self, endpoint: &Endpoint, limit: Duration) -> Result<Dialed, Failure> {
        let dialing = async {
            let socket = connect(endpoint).await?;
            if self.secure.is_none() && self.protocol != Protocol::Http2 {
                return Ok(Dialed::Http1(Link::new(Socket::Plain(socket), &self.scratch)));
            }
            // Larger by far, and so not a part of every request's future.
            Box::pin(self.agree(socket, endpoint)).await
        };
        tokio::time::timeout(limit, dialing).await.unwrap_or(Err(Failure::ConnectionTimeout))
    }

    async fn agree(&self, socket: Plain, endpoint: &Endpoint) -> Result<Dialed, Failure> {
        let (socket, http2) = match &self.secure {
            None => (Socket::Plain(socket), self.protocol == Protocol::Http2),
            Some(secure) => {
                let (stream, http2) = secure.shake_hands(socket, endpoint.address().as_ref().map(SocketAddr::ip)).await?;
                (Socket::Tls(stream), http2)
            }
        };
        if http2 { Lane::begin(socket, &self.crowd).await.map(Dialed::Http2) } else { Ok(Dialed::Http1(Link::new(socket, &self.scratch))) }
    }
}
