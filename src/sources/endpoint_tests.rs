//! A source asked over TLS: its certificate counts only when an authority we were given vouches for the name we asked.
#![cfg(test)]

use std::sync::Arc;

use http::Method;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::formats::tls::{self, CertificateFiles, TlsFiles};
use crate::sources::endpoint::{Endpoint, Question, Reply};
use crate::sources::fake::SHORT;
use crate::sources::trouble::Trouble;

/// Starts a server that answers every request with `{}` over TLS, and returns its port.
async fn serve(files: &TlsFiles) -> u16 {
    let acceptor = TlsAcceptor::from(Arc::new(tls::server(files).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                request.push(byte);
            }
            // A client that has gone is the test's to notice.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
            let _ = stream.shutdown().await;
        }
    });
    port
}

async fn ask(url: &str, ca: &std::path::Path) -> Result<Reply, Trouble> {
    let question = Question { method: Method::GET, path: "/x".to_owned(), ..Question::default() };
    Endpoint::new(url, Some(ca)).unwrap().with_limits(SHORT).ask(&question).await
}

#[tokio::test]
async fn over_tls_only_a_certificate_of_a_given_authority_for_that_name_counts() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let files = CertificateFiles { chain: folder.path().join(format!("{name}.pem")), key: folder.path().join(format!("{name}.key")) };
        std::fs::write(&files.chain, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    };
    let (own, other) = (make("own"), make("other"));
    let port = serve(&TlsFiles { certificates: vec![own.clone()], ..TlsFiles::default() }).await;
    let reply = ask(&format!("https://localhost:{port}"), &own.chain).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.body.as_ref()), (200, &b"{}"[..]));
    for (url, ca) in [(format!("https://localhost:{port}"), &other.chain), (format!("https://127.0.0.1:{port}"), &own.chain)] {
        let told = ask(&url, ca).await.unwrap_err().to_string();
        assert!(told.contains("no TLS: invalid peer certificate"), "{url}: {told}");
    }
    let clear = ask(&format!("http://localhost:{port}"), &own.chain).await.unwrap_err();
    assert!(matches!(clear, Trouble::Unreached { .. }), "{clear}");
}
