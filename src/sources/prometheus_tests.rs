//! Prometheus asked over a socket: what is sent, what is understood, and every way it can fail to answer.
#![cfg(test)]

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::sources::credential::{Credential, Scheme};
use crate::sources::endpoint::{Endpoint, Limits, NoEndpoint};
use crate::sources::fake::{Act, Fake, SHORT};
use crate::sources::prometheus::{Instant, Prometheus, Sample};

const ONE: &str =
    r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"carts","a":"b"},"value":[1571649085,"0.2"]}]}}"#;

async fn ask(fake: &Fake, query: &str) -> Result<Instant, String> {
    let at = "2026-01-31T12:00:00.25Z".parse::<Timestamp>().unwrap();
    Prometheus::new(fake.endpoint()).instant(query, at).await.map_err(|trouble| trouble.to_string())
}

/// Returns why a server that acts like this gives no answer.
async fn trouble(acts: impl IntoIterator<Item = Act>) -> String {
    ask(&Fake::start(acts).await, "up").await.unwrap_err()
}

#[tokio::test]
async fn a_query_is_sent_encoded_with_the_end_of_the_window_and_the_labels_come_back_as_written() {
    let fake = Fake::saying(ONE).await;
    let answer = ask(&fake, "rate(x{job='a b'}[1m])+1").await.unwrap();
    let sample = Sample { labels: Some(r#"{"job":"carts","a":"b"}"#.to_owned()), value: "0.2".to_owned() };
    assert_eq!(answer, Instant { samples: vec![sample], doubt: None });
    let heard = fake.heard();
    assert_eq!(heard[0].line, "GET /api/v1/query?query=rate%28x%7Bjob%3D%27a%20b%27%7D%5B1m%5D%29%2B1&time=1769860800.250");
    assert!(!heard[0].head.contains("authorization"), "{}", heard[0].head);
}

#[tokio::test]
async fn a_path_before_the_servers_own_and_credentials_are_sent() {
    let fake = Fake::saying(ONE).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret\n").unwrap();
    let credential = Credential::read(file.path(), Scheme::Bearer).unwrap();
    let endpoint = Endpoint::new(&format!("{}/prom/", fake.url()), None).unwrap().with_credential(credential);
    Prometheus::new(endpoint).instant("up", Timestamp::UNIX_EPOCH).await.unwrap();
    let heard = fake.heard();
    assert_eq!(heard[0].line, "GET /prom/api/v1/query?query=up&time=0.000");
    assert!(heard[0].head.contains("authorization: Bearer secret"), "{}", heard[0].head);
}

#[tokio::test]
async fn scalars_empty_vectors_and_odd_numbers_are_taken_as_they_are() {
    let vector = |result: serde_json::Value| json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string();
    let empty = Fake::saying(&vector(json!([]))).await;
    assert_eq!(ask(&empty, "up").await.unwrap().samples, []);
    let nan = Fake::saying(&vector(json!([{"metric": {}, "value": [1, "NaN"]}, {"metric": {}, "value": [1, "+Inf"]}]))).await;
    assert_eq!(ask(&nan, "up").await.unwrap().samples.iter().map(|one| one.value.as_str()).collect::<Vec<_>>(), ["NaN", "+Inf"]);
    let scalar = Fake::saying(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#).await;
    assert_eq!(ask(&scalar, "7").await.unwrap().samples, [Sample { labels: None, value: "7".to_owned() }]);
    let partial = Fake::saying(r#"{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["a store is down"]}"#).await;
    assert_eq!(ask(&partial, "up").await.unwrap().doubt.as_deref(), Some("a store is down"));
}

#[tokio::test]
async fn v6_errors_and_answers_of_another_kind_are_no_answer_and_say_why() {
    let ok = |body: &str| Act::Answer(200, body.to_owned());
    for (act, why) in [
        (
            Act::Answer(400, r#"{"status":"error","errorType":"bad_data","error":"parse\nerror"}"#.into()),
            "status 400: bad_data: parse error",
        ),
        (Act::Answer(500, "<html>secret</html>".into()), "answered with status 500"),
        (Act::Answer(401, String::new()), "does not take the credentials"),
        (Act::Answer(404, String::new()), "see that the URL is right"),
        (Act::Answer(302, String::new()), "a redirection, which is never followed"),
        (ok(r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#), "it says timeout: query timed out"),
        (ok(r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#), "it is a matrix"),
        (ok(r#"{"status":"success","data":{"resultType":"string","result":[1,"a"]}}"#), "it is a string"),
        (ok(r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,2]}]}}"#), "a result has no value"),
        (ok(r#"{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"2"]}]}}"#), "a result has no labels"),
        (ok(r#"{"status":"success"}"#), "it has no data"),
        (ok(r#"{}"#), "its status is not success"),
        (ok("<html>secret</html>"), "it is no JSON"),
        (ok(&"[".repeat(10_000)), "it is no JSON"),
        (ok(&format!("\"{}\"", "x".repeat(1 << 14))), "is longer than 16384 bytes"),
        (Act::Bytes(b"SSH-2.0-OpenSSH\r\n".to_vec()), "cannot be asked"),
        (Act::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()), "cannot be asked"),
    ] {
        let told = trouble([act.clone()]).await;
        assert!(told.contains(why) && told.contains("/api/v1/query") && !told.contains("secret"), "{act:?}: {told}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let fake = Fake::start([Act::Hang]).await;
    let limits = Limits { within: Duration::from_millis(50), ..SHORT };
    let asked = Prometheus::new(fake.endpoint().with_limits(limits)).instant("up", Timestamp::UNIX_EPOCH).await;
    assert!(asked.unwrap_err().to_string().contains("gave no answer within 50ms"));
}

#[tokio::test]
async fn a_passing_trouble_is_asked_again_and_a_lasting_one_is_not() {
    let fake = Fake::start([Act::Close, Act::Answer(503, String::new()), Act::Answer(200, ONE.to_owned())]).await;
    assert_eq!(ask(&fake, "up").await.unwrap().samples.len(), 1);
    assert_eq!(fake.heard().len(), 3);
    let down = Fake::start([Act::Answer(503, String::new())]).await;
    assert!(ask(&down, "up").await.unwrap_err().contains("status 503"));
    assert_eq!(down.heard().len(), 3);
    let wrong = Fake::start([Act::Answer(400, String::new())]).await;
    assert!(ask(&wrong, "up").await.unwrap_err().contains("status 400"));
    assert_eq!(wrong.heard().len(), 1);
}

#[tokio::test]
async fn nobody_at_the_address_is_told_with_what_to_look_at() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = Endpoint::new(&format!("http://{address}"), None).unwrap().with_limits(SHORT);
    let told = Prometheus::new(endpoint).instant("up", Timestamp::UNIX_EPOCH).await.unwrap_err().to_string();
    assert!(told.contains("no connection to") && told.contains("see that it runs"), "{told}");
}

#[test]
fn what_is_no_place_of_a_source_is_refused_with_the_reason() {
    for (url, why) in [
        ("", "cannot be read"),
        ("prometheus:9090", "neither http:// nor https://"),
        ("file:///etc/passwd", ""),
        ("gopher://host", "neither http:// nor https://"),
        ("http://", ""),
        ("http://:9090", "no host"),
        ("http://host:0", "no port"),
        ("http://host:", "no port"),
        ("http://host:99999", ""),
        ("http://user:geheim@host", "a user in it"),
        ("http://host/?query=up", "it has a query"),
        ("http://host/#x", "it has a query"),
    ] {
        let told = Endpoint::new(url, None).map(|_| ()).unwrap_err().to_string();
        assert!(told.contains(why) && told.contains("hint: ") && !told.contains("geheim"), "{url}: {told}");
    }
    let missing = Endpoint::new("https://host", Some(std::path::Path::new("/nowhere.pem")));
    assert!(matches!(missing, Err(NoEndpoint::Tls(_))), "{missing:?}");
}
