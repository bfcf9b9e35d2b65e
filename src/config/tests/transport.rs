//! How versions are spoken to: the keys `protocol` and `tls`.

use std::fs;

use rcgen::{CertificateParams, KeyPair};

use super::{Flags, load_in, loaded, refused, shown};
use crate::domain::transport::{Protocol, Tls, Transport};

fn with(version: &str) -> String {
    format!("listen: 127.0.0.1:8080\nservices:\n  - name: carts\n    stable: {{version: v1, {version}}}\n")
}

#[test]
fn plain_http1_is_the_default_and_http2_is_asked_for() {
    let of = |version: &str| loaded(&with(version)).settings.services[0].stable.transport.clone();
    assert_eq!(of("endpoints: ['127.0.0.1:1']"), Transport::default());
    assert_eq!(of("endpoints: ['127.0.0.1:1'], protocol: http2"), Transport { protocol: Protocol::Http2, tls: None });
    assert_eq!(of("endpoints: ['unix:/run/a.sock'], protocol: http1").protocol, Protocol::Http1);
}

#[test]
fn the_name_of_a_certificate_is_written_or_the_endpoints() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
    fs::write(folder.path().join("own.key"), key.serialize_pem()).unwrap();
    let of = |version: &str| {
        let loaded = load_in(folder.path(), with(version), &Flags::default()).unwrap_or_else(|problems| panic!("{}", shown(&problems)));
        loaded.settings.services[0].stable.transport.tls.clone().unwrap()
    };
    let named = |tls: Tls| tls.name;
    assert_eq!(named(of("endpoints: ['127.0.0.1:1'], tls: {ca: ca.pem}")), None);
    assert_eq!(named(of("endpoints: ['carts.internal:80'], tls: {ca: ca.pem}")).as_deref(), Some("carts.internal"));
    assert_eq!(named(of("endpoints: ['unix:/a'], tls: {ca: ca.pem, name: b.test}")).as_deref(), Some("b.test"));
    let whole = of("endpoints: ['127.0.0.1:1'], tls: {ca: ca.pem, certificate: {chain: ca.pem, key: own.key}}");
    assert_eq!(whole.ca.unwrap(), folder.path().join("ca.pem"));
    assert_eq!(whole.certificate.unwrap().key, folder.path().join("own.key"));
}

#[test]
fn what_cannot_be_spoken_says_where_and_how_to_mend_it() {
    for (version, place, message, hint) in [
        ("endpoints: ['127.0.0.1:1'], protocol: h2c", "services[0].stable.protocol", "\"h2c\"", "auto, http1 or http2"),
        ("endpoints: ['127.0.0.1:1'], tls: {ca: none.pem}", "services[0].stable.tls", "none.pem", "PEM"),
        ("endpoints: ['unix:/a'], tls: {ca: x}", "services[0].stable.tls", "do not say", "name:"),
        ("endpoints: ['127.0.0.1:1'], tls: {name: 'a b'}", "services[0].stable.tls.name", "\"a b\"", "without a port"),
        ("endpoints: ['127.0.0.1:1'], tls: {certificate: {chain: x}}", "services[0].stable.tls.certificate", "key", "private key"),
        ("endpoints: ['127.0.0.1:1'], tls: {verify: false}", "services[0].stable.tls.verify", "verify", ""),
    ] {
        let problems = refused(&with(version));
        let text = shown(&problems);
        assert!(text.contains(place) && text.contains(message) && text.contains(hint), "{version}: {text}");
    }
}
