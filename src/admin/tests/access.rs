//! Claims about who is known, by what, and what they may do.

use base64::Engine;

use super::*;
use crate::admin::access::{Peer, Way, needed};
use crate::config::admin::{Admin, AdminListen, Token};
use crate::domain::rank::Rank;

const ABORT: &str = "/v1/rollouts/carts/abort";

fn token(name: &str, rank: Rank) -> Token {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("secret of {name}").as_bytes()).as_ref());
    Token { name: name.to_owned(), rank, digest }
}

/// Three people with tokens, one with a certificate, a socket, and an address that shows.
fn guarded() -> Desk {
    let mut desk = Desk::new();
    let listen = AdminListen { address: "unix:/run/p.sock".parse().unwrap(), mode: 0o600, tls: None };
    let tokens = vec![token("vic", Rank::Viewer), token("oda", Rank::Operator), token("ada", Rank::Admin)];
    let clients = vec![("spiffe://x/ops".to_owned(), Rank::Operator)];
    let admin = Admin { listen: vec![listen], tokens, clients, hosts: vec!["gate.example".to_owned()], open: Rank::Viewer };
    desk.state.access = Access::from(&admin);
    desk
}

async fn ask(desk: &Desk, method: &str, path: &str, authorization: &str, peer: Peer) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    if !authorization.is_empty() {
        headers.push(("authorization", authorization));
    }
    let mut asked = request(method, path, &headers, "");
    asked.extensions_mut().insert(peer);
    desk.send(asked).await
}

fn bearer(name: &str) -> String {
    format!("Bearer secret of {name}")
}

fn network() -> Peer {
    Peer { way: Way::Network, encrypted: true, ..Peer::default() }
}

#[tokio::test]
async fn each_role_may_do_what_it_is_for_and_no_more() {
    let desk = guarded();
    for (who, looks, aborts, makes) in [("vic", 200, 403, 403), ("oda", 200, 200, 403), ("ada", 200, 200, 404), ("eve", 401, 401, 401)] {
        for peer in [Peer::default(), network()] {
            let status = |answer: Answer| answer.status.as_u16();
            assert_eq!(status(ask(&desk, "GET", "/v1/rollouts", &bearer(who), peer.clone()).await), looks, "{who} {peer:?}");
            assert_eq!(status(ask(&desk, "POST", ABORT, &bearer(who), peer.clone()).await), aborts, "{who} {peer:?}");
            let made = desk.send(request(
                "POST",
                "/v1/projects",
                &[("authorization", &bearer(who)), ("content-type", "application/json")],
                r#"{"name": "p", "shipyard": ""}"#,
            ));
            assert_eq!(status(made.await), makes, "{who}");
        }
    }
    let (status, detail) = ask(&desk, "POST", ABORT, &bearer("vic"), network()).await.problem();
    assert_eq!((status, detail.contains("the role operator, and vic is viewer")), (403, true), "{detail}");
}

#[tokio::test]
async fn nobody_is_known_over_a_network_without_saying_who_they_are() {
    let desk = guarded();
    for path in ["/v1/rollouts", "/metrics", "/", "/v1/events"] {
        let answer = ask(&desk, "GET", path, "", network()).await;
        assert_eq!(answer.problem().0, 401, "{path}");
        let ways: Vec<_> = answer.headers.get_all("www-authenticate").iter().map(|way| way.to_str().unwrap()).collect();
        assert!(ways.len() == 2 && ways[1].starts_with("Basic "), "a browser can ask its user: {ways:?}");
    }
    let answer = ask(&desk, "POST", ABORT, "", network()).await;
    assert!(answer.problem().1.contains("--admin-token-file") && !answer.header("www-authenticate").contains("Basic"), "{}", answer.text);
    for path in ["/livez", "/readyz", "/version"] {
        assert_eq!(ask(&desk, "GET", path, "", network()).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(ask(&desk, "GET", "/v1/rollouts", "", Peer::default()).await.status, StatusCode::OK, "this machine may look");
    assert_eq!(ask(&desk, "POST", ABORT, "", Peer::default()).await.problem().0, 401);
    assert_eq!(desk.commands(), [""; 0]);
}

#[tokio::test]
async fn certificates_sockets_and_passwords_say_who_somebody_is() {
    let desk = guarded();
    let shown = |name: &str| Peer { names: [name.to_owned(), "other".to_owned()].into(), ..network() };
    assert_eq!(ask(&desk, "POST", ABORT, "", shown("spiffe://x/ops")).await.status, StatusCode::OK);
    assert_eq!(ask(&desk, "POST", ABORT, "", shown("spiffe://x/ops2")).await.problem().0, 401);
    let socket = Peer { way: Way::Socket(Some(7)), ..Peer::default() };
    assert_eq!(ask(&desk, "POST", ABORT, "", socket.clone()).await.status, StatusCode::OK);
    let basic = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    assert_eq!(ask(&desk, "POST", ABORT, &basic("x:secret of oda"), network()).await.status, StatusCode::OK);
    for wrong in [
        basic("secret of oda:"),
        basic("x:secret of od"),
        "Basic ?".to_owned(),
        "Bearer".to_owned(),
        "Digest x".to_owned(),
        "x".repeat(9_000),
    ] {
        assert_eq!(ask(&desk, "POST", ABORT, &wrong, socket.clone()).await.problem().0, 401, "{wrong:.40}");
    }
    let actors: Vec<String> = desk.commands();
    for (command, actor) in actors.iter().zip(["spiffe://x/ops", "uid 7", "oda"]) {
        assert!(command.contains(&format!("actor: {actor:?}")), "{command}");
    }
}

#[tokio::test]
async fn who_is_known_signs_what_they_say_of_themselves() {
    let desk = guarded();
    for (said, actor) in [("", "oda"), ("oda", "oda"), ("bob", "bob (oda)")] {
        let body = if said.is_empty() { "{}".to_owned() } else { format!("{{\"actor\": {said:?}}}") };
        let headers = [("content-type", "application/json"), ("authorization", &*bearer("oda"))];
        assert_eq!(desk.send(request("POST", ABORT, &headers, &body)).await.status, StatusCode::OK);
        let last = desk.commands().pop().unwrap();
        assert!(last.contains(&format!("actor: {actor:?}")), "{said:?}: {last}");
    }
}

#[tokio::test]
async fn a_name_of_the_configuration_is_one_of_this_listener() {
    let desk = guarded();
    for (host, status) in [("gate.example", 200), ("Gate.Example:9443", 200), ("me@gate.example", 403), ("gate.example.evil", 403)] {
        assert_eq!(desk.send(request("GET", "/livez", &[("host", host)], "")).await.status.as_u16(), status, "{host}");
    }
    let page = |origin: &str| {
        let (ours, oda) = (("host", "gate.example"), bearer("oda"));
        let mut asked = request("POST", ABORT, &[ours, ("origin", origin), ("authorization", &oda)], "");
        asked.extensions_mut().insert(network());
        asked
    };
    assert_eq!(desk.send(page("https://gate.example")).await.status, StatusCode::OK);
    assert_eq!(desk.send(page("http://gate.example")).await.problem().0, 403, "the page is encrypted, as its origin says");
}

#[tokio::test]
async fn whoever_knows_nobody_says_where_commands_are_taken() {
    let mut desk = guarded();
    let listen = AdminListen { address: "unix:/run/p.sock".parse().unwrap(), mode: 0o600, tls: None };
    let admin = Admin { listen: vec![listen], tokens: Vec::new(), clients: Vec::new(), hosts: Vec::new(), open: Rank::Viewer };
    desk.state.access = Access::from(&admin);
    let (status, detail) = desk.post(ABORT, "").await.problem();
    assert!(status == 403 && detail.contains("--admin unix:/run/p.sock"), "{detail}");
    // A token that was meant for somebody else is in nobody's way.
    assert_eq!(ask(&desk, "GET", "/v1/rollouts", &bearer("eve"), Peer::default()).await.status, StatusCode::OK);
}

#[test]
fn every_path_takes_a_role() {
    use axum::http::Method;
    for (method, path, rank) in [
        (Method::GET, "/livez", None),
        (Method::GET, "/metrics", Some(Rank::Viewer)),
        (Method::GET, "/v1/anything", Some(Rank::Viewer)),
        (Method::POST, "/v1/rollouts", Some(Rank::Operator)),
        (Method::PUT, "/v1/rollouts/x/weight", Some(Rank::Operator)),
        (Method::POST, "/v1/projects", Some(Rank::Admin)),
        (Method::POST, "/v1/projects/", Some(Rank::Admin)),
        (Method::PUT, "/v1/projects/p/resources", Some(Rank::Admin)),
        (Method::POST, "/v1/projects/p/services", Some(Rank::Admin)),
        (Method::POST, "/v1/projects/p/monitoring", Some(Rank::Admin)),
        (Method::POST, "/v1/projects/p/services/s/artifacts", Some(Rank::Operator)),
        (Method::POST, "/v1/projects/p/services/s/stages/t/approve", Some(Rank::Operator)),
        (Method::POST, "/v1/events", Some(Rank::Operator)),
        (Method::DELETE, "/livez", Some(Rank::Admin)),
    ] {
        assert_eq!(needed(&method, path), rank, "{method} {path}");
    }
}

/// A client on another machine.
fn from(source: &str) -> Peer {
    Peer { source: Some(source.parse().unwrap()), ..network() }
}

/// Brings a wrong token until it is told to wait, and returns how often and for how many seconds.
async fn provoke(desk: &Desk, peer: Peer) -> (u32, u64) {
    for count in 0..100 {
        let answer = ask(desk, "GET", "/v1/rollouts", &bearer("eve"), peer.clone()).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return (count, answer.header("retry-after").parse().unwrap());
        }
        assert_eq!(answer.problem().0, 401);
    }
    panic!("wrong tokens are taken without an end");
}

#[tokio::test]
async fn a_source_of_wrong_tokens_waits_and_nobody_else_does() {
    let desk = guarded();
    let robot = from("192.0.2.7");
    assert_eq!(provoke(&desk, robot.clone()).await, (10, 60));
    let (status, detail) = ask(&desk, "GET", "/v1/rollouts", &bearer("oda"), robot.clone()).await.problem();
    assert!(status == 429 && detail.contains("192.0.2.7") && detail.contains("60 s"), "a right token is not even looked at: {detail}");
    assert_eq!(ask(&desk, "POST", "/v1/rollouts/carts/promote", &bearer("oda"), robot.clone()).await.problem().0, 429);
    // What needs no token, and who needs none, is not kept waiting.
    assert_eq!(ask(&desk, "GET", "/livez", "", robot.clone()).await.status, StatusCode::OK);
    let known = Peer { names: ["spiffe://x/ops".to_owned()].into(), ..robot };
    assert_eq!(ask(&desk, "GET", "/v1/rollouts", "", known).await.status, StatusCode::OK);
    assert_eq!(ask(&desk, "GET", "/v1/rollouts", &bearer("oda"), from("192.0.2.8")).await.status, StatusCode::OK);
    let socket = Peer { way: Way::Socket(Some(7)), ..Peer::default() };
    for _ in 0..30 {
        assert_eq!(ask(&desk, "GET", "/v1/rollouts", &bearer("eve"), socket.clone()).await.problem().0, 401);
    }
    assert_eq!(ask(&desk, "GET", "/v1/rollouts", &bearer("oda"), socket).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_abort_with_a_right_token_never_waits_and_wrong_ones_make_it_worse() {
    let desk = guarded();
    let robot = from("2001:db8::7");
    assert_eq!(provoke(&desk, robot.clone()).await, (10, 60));
    assert_eq!(ask(&desk, "POST", ABORT, &bearer("oda"), robot.clone()).await.status, StatusCode::OK);
    assert_eq!(ask(&desk, "GET", ABORT, &bearer("oda"), robot.clone()).await.problem().0, 429);
    assert_eq!(desk.commands().len(), 1);
    for _ in 0..10 {
        assert_eq!(ask(&desk, "POST", ABORT, &bearer("eve"), robot.clone()).await.problem().0, 401);
    }
    let neighbour = from("2001:db8::8");
    assert_eq!(provoke(&desk, neighbour.clone()).await, (0, 120), "its network has another two minutes");
    assert_eq!(ask(&desk, "POST", ABORT, &bearer("oda"), neighbour).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_token_and_too_low_a_role_are_no_wrong_tokens() {
    let desk = guarded();
    let peer = from("192.0.2.7");
    for _ in 0..30 {
        assert_eq!(ask(&desk, "GET", "/v1/rollouts", "", peer.clone()).await.problem().0, 401);
        assert_eq!(ask(&desk, "POST", ABORT, &bearer("vic"), peer.clone()).await.problem().0, 403);
    }
    assert_eq!(ask(&desk, "GET", "/v1/rollouts", &bearer("oda"), peer).await.status, StatusCode::OK);
}
