//! Holds `portcullis load` to what it tells: real processes against carts in this one, over HTTP/1.1, HTTP/2 and TLS.

#![cfg(test)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::carts::{self, Settings};
use portcullis::formats::hlog::Reader;
use portcullis::formats::tls::{CertificateFiles, TlsFiles, server};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Runs `serve` on a thread of its own with a listener, whose address it returns.
fn in_the_background<F: Future<Output = ()>>(serve: impl FnOnce(TcpListener) -> F + Send + 'static) -> SocketAddr {
    let (told, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            told.send(listener.local_addr().unwrap()).unwrap();
            serve(listener).await;
        });
    });
    address.recv().unwrap()
}

fn carts() -> SocketAddr {
    in_the_background(|listener| async {
        carts::serve(Settings::new("0.8.1".parse().unwrap()), listener, std::future::pending()).await.unwrap();
    })
}

/// Serves carts over HTTP/2: with TLS where there is a certificate, else with prior knowledge in clear.
fn carts_over_http2(certificate: Option<CertificateFiles>) -> SocketAddr {
    let tls =
        certificate.map(|pair| TlsAcceptor::from(Arc::new(server(&TlsFiles { certificates: vec![pair], ..TlsFiles::default() }).unwrap())));
    in_the_background(move |listener| async move {
        let router = carts::router(Settings::new("0.8.1".parse().unwrap()));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (router, tls) = (router.clone(), tls.clone());
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                router.clone().oneshot(request.map(axum::body::Body::new))
            });
            let builder = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                match tls {
                    None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            drop(builder.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                }
            });
        }
    })
}

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("load").args(arguments).output().unwrap()
}

/// Runs the command with a report, checks its exit code and returns the report and what stood on stdout.
#[track_caller]
fn reported(code: i32, arguments: &[&str]) -> (Value, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("report.json");
    let output = load(&[arguments, &["--report", path.to_str().unwrap()]].concat());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{}\n{}", text(&output.stdout), text(&output.stderr));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let count = |key: &str| report["requests"][key].as_u64().unwrap();
    assert_eq!(count("sent"), count("answered") + count("failed") + count("abandoned"), "{report}");
    (report, text(&output.stdout))
}

/// Asks a server in clear and returns the whole answer.
fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: carts\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn data(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compat/jmeter").join(file).to_str().unwrap().to_owned()
}

#[test]
fn every_request_is_counted_in_table_report_and_log() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("a.hlog");
    let url = format!("http://{}/carts/1", carts());
    let (report, table) = reported(0, &[&url, "--users", "4", "--loops", "25", "--hlog", log.to_str().unwrap()]);
    assert_eq!((&report["requests"]["sent"], &report["status"]["2xx"], &report["verdict"]), (&100.into(), &100.into(), &"pass".into()));
    assert_eq!((&report["protocol"], &report["users"], &report["latency_from"]), (&"HTTP/1.1".into(), &4.into(), &"sending".into()));
    let ms = |key: &str| report["latency_ms"][key].as_f64().unwrap();
    let quantiles = ["p50", "p90", "p95", "p99", "p99_9", "max"].map(ms);
    assert!(quantiles[0] > 0.0 && quantiles.is_sorted(), "{quantiles:?}");
    assert!(
        table.contains("100 sent, 100 answered") && table.contains("p99.9") && table.ends_with("pass: nothing went wrong\n"),
        "{table}"
    );
    assert!(!table.contains('\u{1b}'), "stdout is no terminal");
    let mut reader = Reader::default();
    let text = std::fs::read_to_string(log).unwrap();
    let intervals: Vec<_> = text.lines().filter_map(|line| reader.read_line(line).unwrap()).collect();
    assert_eq!(intervals.iter().map(|interval| interval.total).sum::<u64>(), 100);
    let largest = intervals.iter().flat_map(|interval| &interval.values).map(|values| values.at_most_ns).max().unwrap();
    assert!((largest as f64 / 1e6 / ms("max") - 1.0).abs() < 0.002, "the log is in nanoseconds: {largest} and {} ms", ms("max"));
}

#[test]
fn a_constant_rate_is_kept_and_latency_counts_from_the_intended_start() {
    let url = format!("http://{}/carts/1/items", carts());
    let body = r#"{"itemId":"03fef6ac-1896-4ce8-bd69-b798f85c6e0b","unitPrice":"99.99"}"#;
    let begun = Instant::now();
    let arguments = [&url, "--rate", "100/s", "--requests", "40", "--body", body, "--header", "Content-Type: application/json"];
    let (report, table) = reported(0, &arguments);
    assert!(begun.elapsed() >= Duration::from_millis(390), "{:?}", begun.elapsed());
    assert_eq!((&report["requests"]["sent"], &report["status"]["2xx"]), (&40.into(), &40.into()), "a body makes it a POST");
    assert_eq!((&report["latency_from"], &report["intended_per_s"]), (&"intended_start".into(), &100.0.into()));
    assert!(table.contains("of 100 intended") && table.contains("from the intended start"), "{table}");
}

#[test]
fn errors_above_the_accepted_share_fail() {
    let url = format!("http://{}/nowhere", carts());
    let (report, table) = reported(1, &[&url, "--requests", "12"]);
    assert_eq!((&report["status"]["4xx"], &report["requests"]["bad"], &report["verdict"]), (&12.into(), &12.into(), &"fail".into()));
    assert!(table.ends_with("fail: 12 went wrong, 100% of all, 0% accepted\n"), "{table}");
    let (report, _) = reported(0, &[&url, "--requests", "12", "--accept-errors", "100%"]);
    assert_eq!(report["verdict"], "pass");
}

#[test]
fn http2_is_spoken_in_clear_and_over_tls() {
    let url = format!("http://{}/carts/1", carts_over_http2(None));
    let (report, _) = reported(0, &[&url, "--http2", "--users", "3", "--loops", "10"]);
    assert_eq!((&report["status"]["2xx"], &report["protocol"]), (&30.into(), &"HTTP/2".into()));
    let folder = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pair = CertificateFiles { chain: folder.path().join("a.pem"), key: folder.path().join("a.key") };
    std::fs::write(&pair.chain, certificate.pem()).unwrap();
    std::fs::write(&pair.key, key.serialize_pem()).unwrap();
    let ca = pair.chain.to_str().unwrap().to_owned();
    let url = format!("https://localhost:{}/carts/1", carts_over_http2(Some(pair)).port());
    for trusting in [&["--ca", &ca][..], &["--insecure"]] {
        let (report, _) = reported(0, &[&[&url, "--http2", "--users", "2", "--loops", "5"], trusting].concat());
        assert_eq!(report["status"]["2xx"], 10, "{trusting:?}");
    }
    let other = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap();
    let stranger = folder.path().join("other.pem");
    std::fs::write(&stranger, other.pem()).unwrap();
    let (report, _) = reported(1, &[&url, "--http2", "--users", "1", "--loops", "1", "--ca", stranger.to_str().unwrap()]);
    let told = report["failures"]["tls"]["first"].as_str().unwrap();
    assert!(told.contains("certificate"), "{told}");
}

#[test]
fn redirects_are_followed_and_cookies_kept_where_asked_for() {
    let address = in_the_background(|listener| async {
        use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
        use axum::http::{HeaderMap, StatusCode};
        let away = || async { (StatusCode::SEE_OTHER, [(LOCATION, "in"), (SET_COOKIE, "id=7")]) };
        let inside = |headers: HeaderMap| async move { if headers.contains_key(COOKIE) { StatusCode::OK } else { StatusCode::FORBIDDEN } };
        let router = axum::Router::new().route("/", axum::routing::any(away)).route("/in", axum::routing::get(inside));
        axum::serve(listener, router).await.unwrap();
    });
    let url = format!("http://{address}/");
    for (code, asked, class, redirects) in [(0, &["--follow", "--cookies"][..], "2xx", 6), (1, &["--follow"], "4xx", 6), (0, &[], "3xx", 0)]
    {
        let (report, _) = reported(code, &[&[&url, "--requests", "6", "--body", "x"], asked].concat());
        assert_eq!((&report["status"][class], &report["requests"]["redirects"]), (&6.into(), &redirects.into()), "{asked:?}");
    }
}

#[test]
fn the_published_plans_run_against_carts() {
    let address = carts();
    for (file, path, sent) in
        [("load.jmx", "", 6), ("carts_load.jmx", "", 6), ("carts_perfcheck.jmx", "", 6), ("basiccheck.jmx", "health", 6)]
    {
        let url = format!("http://{address}/{path}");
        let (report, _) = reported(0, &[&url, "--jmx", &data(file), "--users", "2", "--loops", "3"]);
        assert_eq!((&report["requests"]["sent"], &report["requests"]["planned"]), (&sent.into(), &sent.into()), "{file}");
        assert_eq!((&report["status"]["2xx"], &report["users"]), (&sent.into(), &2.into()), "{file}");
    }
    assert!(ask(address, "/carts/1/items").contains("03fef6ac-1896-4ce8-bd69-b798f85c6e0b"));
    let (report, _) = reported(0, &[&format!("http://{address}/"), "--jmx", &data("load.jmx"), "--property", "VUCount=1"]);
    assert_eq!((&report["users"], &report["requests"]["sent"]), (&1.into(), &1.into()), "the plan's own defaults hold");
}

#[test]
fn an_interrupt_ends_it_with_what_there_is() {
    let address = carts();
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["load", &format!("http://{address}/carts/9/items"), "--duration", "10m", "--users", "2", "--think", "5ms"])
        .args(["--method", "POST", "--header", "Content-Type: application/json"])
        .args(["--body", r#"{"itemId":"03fef6ac-1896-4ce8-bd69-b798f85c6e0b","unitPrice":"1"}"#])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut announced = String::new();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    errors.read_line(&mut announced).unwrap();
    assert!(announced.starts_with("2 users send requests for 600 s to http://"), "{announced}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ask(address, "/carts/9/items").contains("03fef6ac") {
        assert!(Instant::now() < deadline, "nothing was sent within 10 s");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains(", interrupted\n") && table.ends_with("pass: nothing went wrong\n"), "{table}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_cannot_be_used_is_named_with_its_exit_code() {
    let folder = TempDir::new().unwrap();
    let bad = folder.path().join("bad.jmx");
    std::fs::write(
        &bad,
        std::fs::read_to_string(data("load.jmx"))
            .unwrap()
            .replace("ConstantTimer ", "GaussianRandomTimer ")
            .replace("</ConstantTimer>", "</GaussianRandomTimer>"),
    )
    .unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/");
    let bad = bad.to_str().unwrap();
    for (code, arguments, named) in [
        (1, vec![url.as_str()], &["cannot be reached", "refused", "listens"][..]),
        (2, vec![&url, "--jmx", "/nowhere/a.jmx"], &["/nowhere/a.jmx", "hint"]),
        (2, vec![&url, "--jmx", bad], &["bad.jmx", "GaussianRandomTimer"]),
        (2, vec![&url, "--body-file", "/nowhere/body"], &["/nowhere/body", "hint"]),
        (2, vec!["https://localhost/", "--ca", "/nowhere/ca.pem"], &["/nowhere/ca.pem", "PEM"]),
        (2, vec![&url, "--ca", "/nowhere/ca.pem"], &["/nowhere/ca.pem", "PEM"]),
        (2, vec![&url, "--report", "/nowhere/r.json"], &["/nowhere/r.json", "--report"]),
        (2, vec!["ftp://localhost/"], &["neither http nor https"]),
    ] {
        let output = load(&arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(named.iter().all(|word| errors.contains(word)) && output.stdout.is_empty(), "{arguments:?}: {errors}");
    }
}
