//! A programmable upstream that speaks HTTP/2, over TCP, TLS or a Unix socket, and an HTTP/2 client.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, client, server};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::PATIENCE;

/// What happens to a request; the number is that of its connection, from 0.
pub type Script = Rc<dyn Fn(usize, Request<RecvStream>, SendResponse<Bytes>) -> Pin<Box<dyn Future<Output = ()>>>>;

/// An upstream that runs until it is dropped.
pub struct Multiplexed {
    /// Where it listens; nowhere for a Unix socket.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _over: oneshot::Sender<()>,
}

enum Listener {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
}

impl Multiplexed {
    /// Listens on a free port and runs the script on every request.
    pub fn start<F: Future<Output = ()> + 'static>(
        script: impl Fn(usize, Request<RecvStream>, SendResponse<Bytes>) -> F + Send + 'static,
    ) -> Self {
        Self::listen(None, None, |_| (), script)
    }

    /// The same with TLS.
    pub fn encrypted<F: Future<Output = ()> + 'static>(
        tls: rustls::ServerConfig,
        script: impl Fn(usize, Request<RecvStream>, SendResponse<Bytes>) -> F + Send + 'static,
    ) -> Self {
        Self::listen(Some(tls), None, |_| (), script)
    }

    /// The same with a socket or with settings of its own.
    pub fn listen<F: Future<Output = ()> + 'static>(
        tls: Option<rustls::ServerConfig>,
        path: Option<&Path>,
        change: fn(&mut server::Builder),
        script: impl Fn(usize, Request<RecvStream>, SendResponse<Bytes>) -> F + Send + 'static,
    ) -> Self {
        let (over, ended) = oneshot::channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let tcp = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let address = tcp.local_addr().unwrap();
        let unix = path.map(|path| std::os::unix::net::UnixListener::bind(path).unwrap());
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let script: Script = Rc::new(move |index, request, respond| Box::pin(script(index, request, respond)));
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let listener = match unix {
                    Some(unix) => {
                        unix.set_nonblocking(true).unwrap();
                        Listener::Unix(UnixListener::from_std(unix).unwrap())
                    }
                    None => Listener::Tcp(TcpListener::from_std(tcp).unwrap(), tls.map(|tls| TlsAcceptor::from(Arc::new(tls)))),
                };
                tokio::select! { _ = ended => {}, () = accept(listener, change, script, count) => {} }
            });
        });
        Self { address, connections, _over: over }
    }

    /// Returns how many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

async fn accept(listener: Listener, change: fn(&mut server::Builder), script: Script, count: Arc<AtomicUsize>) {
    loop {
        match &listener {
            Listener::Tcp(listener, None) => {
                let socket = listener.accept().await.unwrap().0;
                let index = count.fetch_add(1, Ordering::AcqRel);
                tokio::task::spawn_local(serve(socket, change, index, Rc::clone(&script)));
            }
            Listener::Tcp(listener, Some(acceptor)) => {
                let socket = listener.accept().await.unwrap().0;
                let index = count.fetch_add(1, Ordering::AcqRel);
                let (acceptor, script) = (acceptor.clone(), Rc::clone(&script));
                tokio::task::spawn_local(async move {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        serve(stream, change, index, script).await;
                    }
                });
            }
            Listener::Unix(listener) => {
                let socket = listener.accept().await.unwrap().0;
                let index = count.fetch_add(1, Ordering::AcqRel);
                tokio::task::spawn_local(serve(socket, change, index, Rc::clone(&script)));
            }
        }
    }
}

async fn serve(socket: impl AsyncRead + AsyncWrite + Unpin, change: fn(&mut server::Builder), index: usize, script: Script) {
    let mut builder = server::Builder::new();
    change(&mut builder);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::task::spawn_local(script(index, request, respond));
    }
}

/// Reads a body to its end: the bytes and the trailers, or `None` when it is cut.
pub async fn collect(mut body: RecvStream) -> Option<(Vec<u8>, Option<HeaderMap>)> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).ok()?;
    }
    Some((bytes, body.trailers().await.ok()?))
}

/// Answers with a status, a body and trailers.
pub fn answer(mut respond: SendResponse<Bytes>, head: Response<()>, body: &str, trailers: Option<HeaderMap>) {
    let ends = body.is_empty() && trailers.is_none();
    let Ok(mut stream) = respond.send_response(head, ends) else { return };
    if !body.is_empty() {
        let _ = stream.send_data(Bytes::copy_from_slice(body.as_bytes()), trailers.is_none());
    }
    if let Some(trailers) = trailers {
        let _ = stream.send_trailers(trailers);
    }
}

/// Makes a map of fields.
pub fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

/// Runs a client's side of a test, with a deadline.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async { tokio::time::timeout(PATIENCE, test).await.expect("a test ends in time") })
}

/// Connects with HTTP/2; call within [`run`].
pub async fn connect(to: SocketAddr) -> client::SendRequest<Bytes> {
    let socket = TcpStream::connect(to).await.unwrap();
    let (sender, connection) = client::handshake(socket).await.unwrap();
    tokio::task::spawn_local(async { drop(connection.await) });
    sender
}

/// Begins a request for `http://a.test`.
pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Request<()> {
    let request = Request::builder().method(method).uri(format!("http://a.test{path}")).version(http::Version::HTTP_2);
    more.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}
