//! A connection from its first byte to its end.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use crate::proxy::connection::admitted::{Admitted, Door};
use crate::proxy::connection::intercepted::{self, Course};
use crate::proxy::connection::proxied::{self, Proxied};
use crate::proxy::connection::secure::shake_hands;
use crate::proxy::connection::{http1, http2, tunnelled};
use crate::proxy::intercept::{Onward, keep_alive};
use crate::proxy::plain::{Plain, Remote};
use crate::proxy::rules::Rules;
use crate::proxy::sanitise::Peer;
use crate::proxy::serve::Serve;
use crate::proxy::wire::{Line, Protocol, Socket, Wire};
use crate::proxy::worker::Worker;

/// Serves one connection to its end.
pub async fn serve(admitted: Admitted, door: Rc<Door>, worker: Rc<Worker>) {
    let Admitted { mut socket, mut remote, guard, mut hold } = admitted;
    let mut port = door.port;
    // Without it small answers may wait for an acknowledgement; failing to set it costs only that.
    if let Plain::Tcp(socket) = &socket {
        let _ = socket.set_nodelay(true);
    }
    let course = match &door.setup.intercepted {
        None => None,
        Some(interception) => match interception.aim(&socket, remote) {
            Ok(aim) => {
                port = aim.port();
                keep_alive(socket.as_socket());
                Some(Course { interception: interception.clone(), remote, aim })
            }
            Err(refused) => return intercepted::refuse(refused, remote, &worker),
        },
    };
    if door.is_proxy(remote) {
        match tokio::time::timeout(worker.rules().settings.timeouts.header, proxied::read(&mut socket)).await {
            Ok(Ok(Proxied::For { client, local })) => {
                (remote, port) = (Remote::Address(client), local.port());
                if !hold.stands_for(client.ip(), &worker) {
                    worker.counters.rejected.fetch_add(1, Ordering::Relaxed);
                    return tracing::debug!(%remote, "a client has as many connections as it may");
                }
            }
            Ok(Ok(Proxied::Own)) => {}
            Ok(Err(_)) | Err(_) => {
                worker.refused();
                return tracing::debug!(%remote, "a connection without the PROXY header that its network is to send");
            }
        }
    }
    let line = Rc::new(Line::new(worker.gathered.clone(), Rc::clone(&guard)));
    let (socket, agreed) = match &door.setup.tls {
        None => (Socket::Plain(socket), None),
        Some(slot) => match Box::pin(shake_hands(socket, slot, &worker)).await {
            Ok((socket, protocol)) => (socket, Some(protocol)),
            Err(error) => {
                worker.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                return tracing::debug!(%remote, %error, "a TLS handshake failed");
            }
        },
    };
    let serving = worker.rules();
    let settings = &serving.settings;
    let described = match remote {
        Remote::Address(remote) if agreed.is_some() => Peer::over_tls(remote, port, &settings.trusted),
        Remote::Address(remote) => Peer::new(remote, port, &settings.trusted),
        Remote::Unix => Peer::over_socket(agreed.is_some(), settings.trusts_sockets),
    };
    let asked_for = door.setup.one_host.then(|| socket.server_name()).flatten().map(Into::into);
    let peer = Rc::new(Peer { asked_for, ..described });
    let mut wire = Wire::new(socket, Rc::clone(&line));
    if let Some(service) = &door.setup.service {
        Box::pin(tunnelled::serve(wire, service, &peer, &worker)).await;
        return drop(hold);
    }
    let protocol = match &course {
        Some(course) => match Box::pin(intercepted::greet(wire, course, &serving, &worker)).await {
            Some((greeted, protocol)) => {
                wire = greeted;
                protocol
            }
            None => return,
        },
        None => match spoken(&mut wire, agreed, &serving, &worker).await {
            Ok(Some(protocol)) => protocol,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%remote, %error, "a client connection ended before it said what it speaks"),
        },
    };
    // Whoever was redirected thinks that it speaks with somebody else, who may answer it even then.
    let may_end = course.is_some();
    let onward = course.map(|course| Onward::new(course.aim, protocol == Protocol::Http2));
    let serve = Serve::new(Rc::clone(&worker), peer, Some(Rc::clone(&line))).going_to(onward);
    let ended = match protocol {
        Protocol::Http1 => http1::serve(wire, serve, may_end, &line, &worker).await,
        // Larger by far, and so not a part of every connection's task.
        Protocol::Http2 => Box::pin(http2::serve(wire, serve, guard, &worker)).await,
    };
    if let Some(offence) = line.offence() {
        worker.offended(offence);
        tracing::warn!(%remote, ?offence, "a client was cut off");
    } else if let Err(error) = ended {
        if error.is_parse() || is_of_protocol(&error) {
            // Not even a request: hyper has answered it.
            worker.refused();
        }
        tracing::debug!(%remote, %error, "a client connection ended");
    }
    drop(hold);
}

/// Waits until it is known which protocol a client speaks; `None` when it leaves before, or when the drain begins.
async fn spoken(wire: &mut Wire, agreed: Option<Protocol>, rules: &Rc<Rules>, worker: &Worker) -> io::Result<Option<Protocol>> {
    tokio::select! {
        biased;
        first = poll_fn(|cx| wire.poll_protocol(agreed, cx)) => first,
        () = worker.ends(rules) => Ok(None),
    }
}

/// Says whether a client broke the rules of HTTP/2 so that its connection had to end.
fn is_of_protocol(error: &hyper::Error) -> bool {
    let of_http2 = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    of_http2.is_some_and(|error| error.is_library() && !error.is_io())
}
