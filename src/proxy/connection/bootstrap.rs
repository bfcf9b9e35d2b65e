//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT becomes the request of HTTP/1.1 that a version understands, and its 101
//! becomes a 200, behind which the stream is a tunnel.

use std::cell::Cell;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::proxy::body::{Answer, Crossing};
use crate::proxy::connection::held::Busy;
use crate::proxy::connection::tunnelled;
use crate::proxy::respond::{self, Form};
use crate::proxy::worker::Worker;

/// Makes a request of HTTP/1.1 of one that begins a WebSocket on its stream; `None` for any other, which is left alone.
pub fn begin<B>(request: &mut Request<B>) -> Option<OnUpgrade> {
    if *request.method() != Method::CONNECT {
        return None;
    }
    let protocol = request.extensions().get::<Protocol>()?;
    if !protocol.as_str().eq_ignore_ascii_case("websocket") {
        return None;
    }
    let stream = hyper::upgrade::on(&mut *request);
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    // Over HTTP/2 there is none; it only shows that the version has understood (RFC 6455 section 1.3).
    if let Ok(key) = HeaderValue::try_from(STANDARD.encode(rand::random::<[u8; 16]>())) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    Some(stream)
}

/// What a tunnel keeps for as long as it is open: its connection busy, and the knowledge that there is one over it.
pub type Kept = (Busy, Rc<()>);

/// Makes the answer to such a request, and carries the tunnel where there is one, in a task of its own.
///
/// Any other answer is passed on, unless it were taken for a tunnel because it says that all is well.
pub fn answer(mut response: Response<Answer>, stream: OnUpgrade, kept: Kept, worker: &Rc<Worker>) -> Response<Answer> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        if response.status().is_success() {
            let form = Form { json: false, http1: false, bodyless: false, grpc: false };
            return respond::problem(StatusCode::BAD_GATEWAY, "the service does not take the connection for a WebSocket", form);
        }
        return response;
    }
    *response.status_mut() = StatusCode::OK;
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        response.headers_mut().remove(name);
    }
    let crossing = Cell::new(None);
    let response = response.map(|answer| answer.leaving(&crossing));
    if let Some(crossing) = crossing.take() {
        tokio::task::spawn_local(carry(*crossing, stream, kept, Rc::clone(worker)));
    }
    response
}

async fn carry(crossing: Crossing, stream: OnUpgrade, kept: Kept, worker: Rc<Worker>) {
    let Crossing { far, ticket } = crossing;
    // It fails when the client has reset the stream before it was told.
    if let Ok(stream) = stream.await {
        tunnelled::carry_stream(TokioIo::new(stream), far, &worker).await;
    }
    drop((ticket, kept));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_extended_connect_to_a_websocket_becomes_a_get() {
        let request = |method: Method, protocol: Option<&'static str>| {
            let mut request = Request::builder().method(method).uri("https://a.test/chat").body(()).unwrap();
            if let Some(protocol) = protocol {
                request.extensions_mut().insert(Protocol::from_static(protocol));
            }
            let begun = begin(&mut request).is_some();
            (begun, request)
        };
        for (method, protocol) in
            [(Method::CONNECT, None), (Method::CONNECT, Some("connect-udp")), (Method::GET, Some("websocket")), (Method::GET, None)]
        {
            let (begun, left) = request(method.clone(), protocol);
            assert_eq!((begun, left.method(), left.headers().len()), (false, &method, 0), "{method} {protocol:?}");
        }
        let ((one, first), (_, second)) = (request(Method::CONNECT, Some("websocket")), request(Method::CONNECT, Some("WebSocket")));
        assert_eq!((one, first.method(), second.method()), (true, &Method::GET, &Method::GET));
        assert_eq!(STANDARD.decode(first.headers()[SEC_WEBSOCKET_KEY].as_bytes()).unwrap().len(), 16);
        assert_ne!(first.headers()[SEC_WEBSOCKET_KEY], second.headers()[SEC_WEBSOCKET_KEY]);
    }
}
