//! Forced versions, users that stay, and copies, where the client and every version speak HTTP/2.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Response};
use portcullis::domain::transport::{Protocol, Transport};
use portcullis::domain::version::Version;
use portcullis::domain::weight::Weight;
use portcullis::seam::choice::{By, Choice, Flights, Force, Mirror, MirrorTo, Sticky};
use portcullis::seam::clock::unix_seconds;
use portcullis::seam::token;

use crate::split::{Split, count, keys, name, trip, version};
use crate::support::multiplexed::{self, Multiplexed, answer, collect, request};
use crate::support::{PATIENCE, eventually};

/// What a version got: the method, the fields and the body.
type Got = (Method, HeaderMap, Vec<u8>);

/// A version that speaks HTTP/2 and answers with its name, and all that it got.
struct Named {
    version: Arc<Version>,
    got: Arc<Mutex<Vec<Got>>>,
    _upstream: Multiplexed,
}

impl Named {
    fn start(who: &'static str) -> Self {
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let record = Arc::clone(&got);
        let upstream = Multiplexed::start(move |_, request, respond| {
            let record = Arc::clone(&record);
            async move {
                let (head, body) = request.into_parts();
                let (body, _) = collect(body).await.expect("the body is whole");
                record.lock().unwrap().push((head.method, head.headers, body));
                answer(respond, Response::new(()), who, None);
            }
        });
        Self { version: http2(who, upstream.address), got, _upstream: upstream }
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

fn http2(who: &str, address: std::net::SocketAddr) -> Arc<Version> {
    let transport = Transport { protocol: Protocol::Http2, tls: None };
    Arc::new(Version { transport, ..Version::clone(&version(who, address)) })
}

/// Sends a request over a stream of this connection; returns who answered and the cookie that was set.
async fn ask(sender: &SendRequest<Bytes>, method: &str, fields: &[(&str, &str)], body: &'static str) -> (String, Option<String>) {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, mut stream) = sender.send_request(request(method, "/t", fields), body.is_empty()).unwrap();
    if !body.is_empty() {
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }
    let (head, body) = response.await.unwrap().into_parts();
    assert_eq!(head.status, 200);
    let (body, _) = collect(body).await.expect("the answer is whole");
    let cookie = head.headers.get("set-cookie").map(|set| set.to_str().unwrap().split(';').next().unwrap().to_owned());
    (String::from_utf8(body).unwrap(), cookie)
}

#[test]
fn a_token_forces_its_version_on_its_stream_alone_and_goes_no_further() {
    let (v1, v2, v9) = (Named::start("v1"), Named::start("v2"), Named::start("v9"));
    let header = Some(http::HeaderName::from_static("x-portcullis-version"));
    let force = Force { header, cookie: Some("try".to_owned()), keys: keys() };
    let choice = Choice { force: Some(force), others: vec![Arc::clone(&v9.version)].into(), ..Choice::default() };
    let mut split = Split::between(Arc::clone(&v1.version), Arc::clone(&v2.version), choice);
    let trial = split.shift(3, Some(1));
    let token = |who: &str| token::force(&keys(), &name("carts"), 3, &name(who), unix_seconds() + 60);
    multiplexed::run(async {
        let sender = multiplexed::connect(split.proxy.address).await;
        for who in ["v2", "v9", "v1"] {
            let (token, plain) = (token(who), ask(&sender, "GET", &[], "").await.0);
            assert_eq!(plain, "v1");
            assert_eq!(ask(&sender, "GET", &[("x-portcullis-version", &token)], "").await.0, who);
            // Over HTTP/2 cookies may come in crumbs.
            let crumb = format!("try={token}");
            assert_eq!(ask(&sender, "POST", &[("cookie", "a=1"), ("cookie", &crumb), ("cookie", "b=2")], "body").await.0, who);
        }
        assert_eq!(ask(&sender, "GET", &[("x-portcullis-version", "forged")], "").await.0, "v1");
        trip(&trial);
        assert_eq!(ask(&sender, "GET", &[("x-portcullis-version", &token("v2"))], "").await.0, "v1", "a trip holds for tokens too");
    });
    for (version, posts) in [(&v1, 1), (&v2, 1), (&v9, 1)] {
        let got = version.got();
        assert!(got.iter().all(|(_, fields, _)| !fields.contains_key("x-portcullis-version")), "{got:?}");
        let posted: Vec<&Got> = got.iter().filter(|(method, ..)| *method == Method::POST).collect();
        assert_eq!(posted.len(), posts);
        assert!(posted.iter().all(|(_, fields, body)| fields["cookie"] == "a=1; b=2" && body == b"body"), "{posted:?}");
    }
    assert_eq!(split.proxy.beside_ended("v9", 2).answered, 2);
    assert!(split.fields().is_empty());
}

#[test]
fn users_stay_over_streams_of_one_connection_and_leave_after_a_rollback() {
    let (v1, v2) = (Named::start("v1"), Named::start("v2"));
    let by = By::OwnCookie { name: "stay".to_owned(), age: Duration::from_secs(3600) };
    let choice = Choice { sticky: Some(Sticky { by, keys: keys() }), ..Choice::default() };
    let mut split = Split::between(Arc::clone(&v1.version), Arc::clone(&v2.version), choice);
    split.shift(1, Some(5_000));
    let users: Vec<(String, String)> = multiplexed::run(async {
        let sender = multiplexed::connect(split.proxy.address).await;
        let mut users = Vec::new();
        for _ in 0..20 {
            let (who, cookie) = ask(&sender, "GET", &[], "").await;
            users.push((who, cookie.expect("a cookie is set")));
        }
        // Many users behind one connection, such as a gateway's, are told apart.
        for (who, cookie) in users.iter().rev() {
            let again = ask(&sender, "GET", &[("cookie", "a=1"), ("cookie", cookie)], "").await;
            assert_eq!(again, (who.clone(), None));
        }
        users
    });
    let on_canary = users.iter().filter(|(who, _)| who == "v2").count();
    assert!((8..=12).contains(&on_canary), "{on_canary} of 20");
    let kept = v1.got().into_iter().chain(v2.got()).filter_map(|(_, fields, _)| fields.get("cookie").cloned());
    assert!(kept.collect::<Vec<_>>().iter().all(|cookie| cookie == "a=1"), "ours is not passed on");
    split.shift(1, None);
    multiplexed::run(async {
        let sender = multiplexed::connect(split.proxy.address).await;
        for (_, cookie) in &users {
            assert_eq!(ask(&sender, "GET", &[("cookie", cookie)], "").await.0, "v1");
        }
    });
}

fn mirror() -> Mirror {
    Mirror {
        to: MirrorTo::Other(name("v9")),
        share: Weight::FULL,
        methods: vec![Method::GET, Method::POST],
        most: 3,
        deadline: PATIENCE,
        bytes: 1_000,
        flights: Flights::default(),
    }
}

#[test]
fn a_copy_goes_out_marked_with_its_body_and_a_hung_mirror_delays_nobody() {
    let (v1, v2, v9) = (Named::start("v1"), Named::start("v2"), Named::start("v9"));
    let choice = Choice { mirror: Some(mirror()), others: vec![Arc::clone(&v9.version)].into(), ..Choice::default() };
    let split = Split::between(Arc::clone(&v1.version), Arc::clone(&v2.version), choice);
    multiplexed::run(async {
        let sender = multiplexed::connect(split.proxy.address).await;
        assert_eq!(ask(&sender, "POST", &[("x-portcullis-mirror", "0")], "body").await.0, "v1");
    });
    let copies = eventually("the copy comes", || Some(v9.got()).filter(|got| !got.is_empty()));
    let (method, fields, body) = &copies[0];
    assert_eq!((method, &fields["x-portcullis-mirror"], body.as_slice()), (&Method::POST, &"1".parse().unwrap(), &b"body"[..]));
    assert!(!v1.got()[0].1.contains_key("x-portcullis-mirror"));
    assert_eq!(split.proxy.beside_ended("v9", 1).answered, 1);

    let hung = Multiplexed::start(|_, _, mut respond| async move { drop(std::future::poll_fn(|cx| respond.poll_reset(cx)).await) });
    let choice = Choice { mirror: Some(mirror()), others: vec![http2("v9", hung.address)].into(), ..Choice::default() };
    let split = Split::between(Arc::clone(&v1.version), Arc::clone(&v2.version), choice);
    multiplexed::run(async {
        let sender = multiplexed::connect(split.proxy.address).await;
        for _ in 0..20 {
            assert_eq!(ask(&sender, "GET", &[], "").await.0, "v1");
        }
    });
    let choices = &split.proxy.counters.choices;
    assert_eq!((count(&choices.mirrored), count(&choices.mirror_dropped)), (3, 17));
    assert_eq!(split.proxy.ended(20).answered, 20);
}
