//! Claims about carts as a client sees it: the endpoints, the info page, the knobs, the metrics and the hang.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::carts::{Settings, router, serve, special, value_of};

const ITEM: &str = r#"{"itemId":"03fef6ac-1896-4ce8-bd69-b798f85c6e0b","unitPrice":"99.99"}"#;

fn settings(tag: &str) -> Settings {
    Settings::new(tag.parse().unwrap())
}

struct Answer {
    status: u16,
    media: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.media, "application/json;charset=UTF-8");
        serde_json::from_str(&self.text).unwrap()
    }
}

async fn call(carts: &Router, method: &str, path: &str, body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let response = carts.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let media = response.headers().get("content-type").map_or("", |v| v.to_str().unwrap()).to_owned();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, media, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

async fn get(carts: &Router, path: &str) -> Answer {
    call(carts, "GET", path, "").await
}

#[tokio::test]
async fn every_row_of_the_endpoints_table_answers_as_documented() {
    let carts = router(settings("0.8.1"));
    let item = "/carts/1/items/03fef6ac-1896-4ce8-bd69-b798f85c6e0b";
    for (method, path, body, status, media) in [
        ("GET", "/", "", 200, "text/html;charset=UTF-8"),
        ("GET", "/version", "", 200, "text/plain;charset=UTF-8"),
        ("GET", "/health", "", 200, "application/json;charset=UTF-8"),
        ("GET", "/carts/1", "", 200, "application/json;charset=UTF-8"),
        ("POST", "/carts/1/items", ITEM, 201, "application/json;charset=UTF-8"),
        ("GET", "/carts/1/items", "", 200, "application/json;charset=UTF-8"),
        ("PATCH", "/carts/1/items", ITEM, 202, ""),
        ("GET", item, "", 200, "application/json;charset=UTF-8"),
        ("DELETE", item, "", 202, ""),
        ("GET", "/carts/1/items/health", "", 200, "text/plain;charset=UTF-8"),
        ("GET", "/carts/1/items/delay/0", "", 200, ""),
        ("GET", "/carts/1/items/promotion/0", "", 200, ""),
        ("GET", "/carts/1/merge?sessionId=2", "", 202, ""),
        ("DELETE", "/carts/1", "", 202, ""),
        ("GET", "/prometheus", "", 200, "text/plain; version=0.0.4"),
        ("GET", "/metrics", "", 200, "text/plain; version=0.0.4"),
    ] {
        let answer = call(&carts, method, path, body).await;
        assert_eq!((answer.status, answer.media.as_str()), (status, media), "{method} {path}");
    }
}

#[tokio::test]
async fn the_bodies_are_those_of_the_original() {
    let carts = router(settings("0.8.2"));
    assert_eq!(get(&carts, "/version").await.text, "Version = v2");
    assert_eq!(get(&carts, "/carts/1/items/health").await.text, "OK - endpoint available");
    assert_eq!(get(&carts, "/carts/a%20b").await.json(), json!({"customerId": "a b"}));
    let health = get(&carts, "/health").await.json();
    let check = &health["health"][0];
    assert_eq!((&check["service"], &check["status"]), (&json!("carts"), &json!("OK")));
    assert!(check["date"].as_str().unwrap().ends_with("+00:00"), "{health}");
}

#[tokio::test]
async fn a_second_post_of_an_item_increments_its_quantity() {
    let carts = router(settings("0.8.1"));
    let first = call(&carts, "POST", "/carts/1/items", ITEM).await.json();
    let second = call(&carts, "POST", "/carts/1/items", ITEM).await.json();
    assert_eq!((&first["quantity"], &second["quantity"]), (&json!(1), &json!(2)));
    assert_eq!((&first["id"], &second["unitPrice"]), (&second["id"], &json!(99.99)));
    call(&carts, "PATCH", "/carts/1/items", r#"{"itemId":"03fef6ac-1896-4ce8-bd69-b798f85c6e0b","quantity":7}"#).await;
    let list = get(&carts, "/carts/1/items").await.json();
    assert_eq!(list, json!([{"id": first["id"], "itemId": "03fef6ac-1896-4ce8-bd69-b798f85c6e0b", "quantity": 7, "unitPrice": 99.99}]));
}

#[tokio::test]
async fn a_merge_moves_the_items_of_the_session() {
    let carts = router(settings("0.8.1"));
    call(&carts, "POST", "/carts/session/items", ITEM).await;
    assert_eq!(get(&carts, "/carts/1/merge?sessionId=session").await.status, 202);
    assert_eq!(get(&carts, "/carts/1/items").await.json().as_array().unwrap().len(), 1);
    assert_eq!(get(&carts, "/carts/session/items").await.json(), json!([]));
    assert_eq!(get(&carts, "/carts/1/merge").await.status, 400);
}

#[tokio::test]
async fn what_is_not_there_is_said_with_status_message_and_path() {
    let carts = router(settings("0.8.1"));
    for (method, path, body, status, message) in [
        ("GET", "/info", "", 404, "No message available"),
        ("PUT", "/carts/1", "", 405, "Request method 'PUT' not supported"),
        ("GET", "/carts/1/items/nothing", "", 500, "Cannot find item in cart"),
        ("DELETE", "/carts/1/items/nothing", "", 500, "Cannot find item in cart"),
        ("PATCH", "/carts/1/items", ITEM, 500, "Cannot find item in cart"),
        ("POST", "/carts/1/items", "", 415, "Content type '' not supported"),
    ] {
        let answer = call(&carts, method, path, body).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["message"], &body["path"]), (status, &json!(message), &json!(path)), "{method} {path}");
        assert_eq!(body["status"], json!(status));
    }
    assert_eq!(call(&carts, "POST", "/carts/1/items", "{").await.status, 400);
    assert_eq!(call(&carts, "POST", "/carts/1/items", &"x".repeat(65 * 1024)).await.status, 413);
    assert_eq!(get(&carts, &format!("/carts/{}", "x".repeat(257))).await.status, 400);
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let request = Request::put("/carts/1").body(Body::empty()).unwrap();
    let response = router(settings("0.8.1")).oneshot(request).await.unwrap();
    let allowed = response.headers()["allow"].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("DELETE"), "{allowed}");
}

#[tokio::test]
async fn the_info_page_shows_its_rows_in_order_and_the_version_by_colour() {
    for (tag, version, delay, colour) in
        [("0.8.1", "v1", "0", "#90EE90"), ("0.8.2", "v2", "1000", "#DC143C"), ("0.8.3", "v3", "0", "#14DC85")]
    {
        let settings = settings(tag).with_environment(|name| (name == "KEPTN_STAGE").then(|| "staging".to_owned()));
        let page = get(&router(settings), "/").await.text;
        let absent = |name: &str| format!("No value found in environment variable {name}");
        let rows = [
            ("Pod name:", absent("POD_NAME")),
            ("Container image:", absent("CONTAINER_IMAGE")),
            ("Deployment name:", absent("DEPLOYMENT_NAME")),
            ("keptn project:", absent("KEPTN_PROJECT")),
            ("keptn stage:", "staging".to_owned()),
            ("keptn service:", absent("KEPTN_SERVICE")),
            ("Version:", version.to_owned()),
            ("Delay in ms:", delay.to_owned()),
            ("Promotion rate:", "0".to_owned()),
        ];
        assert_eq!(page.matches("<tr>").count(), rows.len());
        let mut rest = page.as_str();
        for (label, value) in rows {
            let row = format!("<tr><td align=\"right\">{label}</td><td><strong>{value}</strong></td></tr>");
            rest = rest.split_once(&row).unwrap_or_else(|| panic!("{row} is not next in {rest}")).1;
        }
        assert!(page.contains(&format!("background-color: {colour}")), "{page}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_delay_hits_only_the_post_of_an_item() {
    let carts = router(settings("0.8.2"));
    let start = Instant::now();
    for path in
        ["/", "/version", "/health", "/carts/1", "/carts/1/items", "/carts/1/items/health", "/metrics", "/carts/1/merge?sessionId=2"]
    {
        get(&carts, path).await;
    }
    call(&carts, "DELETE", "/carts/1", "").await;
    call(&carts, "PATCH", "/carts/1/items", ITEM).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    call(&carts, "POST", "/carts/1/items", ITEM).await;
    assert!((1000..=1002).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_delay_changes_at_run_time_and_the_page_keeps_its_value() {
    let carts = router(settings("0.8.1"));
    for (knob, delay) in [("300", 300), (" 40 ", 40), ("-5", 0), ("soon", 0), ("0", 0)] {
        assert_eq!(get(&carts, &format!("/carts/1/items/delay/{}", knob.replace(' ', "%20"))).await.status, 200);
        let start = Instant::now();
        assert_eq!(call(&carts, "POST", "/carts/1/items", ITEM).await.status, 201);
        assert!((delay..=delay + 2).contains(&start.elapsed().as_millis()), "{knob:?} took {:?}", start.elapsed());
    }
    assert_eq!(value_of(&get(&carts, "/").await.text, "Delay in ms:").unwrap(), "0");
}

#[tokio::test]
async fn the_promotion_rate_fails_posts_at_run_time() {
    let carts = router(settings("0.8.1"));
    let failed = async |percent: &str, posts: usize| {
        get(&carts, &format!("/carts/1/items/promotion/{percent}")).await;
        let mut failed = 0;
        for _ in 0..posts {
            let answer = call(&carts, "POST", "/carts/1/items", ITEM).await;
            if answer.status == 500 {
                assert_eq!(answer.json()["message"], "promotion campaign not yet implemented");
                failed += 1;
            }
        }
        failed
    };
    assert_eq!(failed("100", 20).await, 20);
    assert_eq!(failed("0", 20).await, 0);
    let third = failed("30", 1000).await;
    assert!((240..=360).contains(&third), "{third} of 1000 failed with seed 0; 300 ± 4 standard deviations were expected");
    get(&carts, "/carts/1/items/promotion/half").await;
    let answer = call(&carts, "POST", "/carts/1/items", ITEM).await;
    assert_eq!((answer.status, &answer.json()["message"]), (500, &json!("For input string: \"half\"")));
}

#[tokio::test(start_paused = true)]
async fn delay_and_failure_rate_given_at_the_start_take_effect_and_show() {
    let carts = router(Settings { delay_ms: 250, failure_rate: 100, ..settings("0.8.2") });
    let start = Instant::now();
    assert_eq!(call(&carts, "POST", "/carts/1/items", ITEM).await.status, 500);
    assert!((250..=252).contains(&start.elapsed().as_millis()));
    let page = get(&carts, "/").await.text;
    assert_eq!(value_of(&page, "Delay in ms:").unwrap(), "250");
    assert_eq!(value_of(&page, "Promotion rate:").unwrap(), "100");
}

#[tokio::test(start_paused = true)]
async fn a_slow_article_is_slow_once_it_is_in_the_cart() {
    let carts = router(settings("0.10.1"));
    let item = json!({"itemId": special::SLOW}).to_string();
    let start = Instant::now();
    call(&carts, "POST", "/carts/1/items", &item).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    let second = call(&carts, "POST", "/carts/1/items", &item).await;
    assert_eq!(second.json()["quantity"], 2);
    assert!((2000..=2002).contains(&start.elapsed().as_millis()));
}

#[tokio::test(start_paused = true)]
async fn the_metrics_have_the_names_labels_and_buckets_of_the_original() {
    let carts = router(settings("0.8.2"));
    call(&carts, "POST", "/carts/1/items", ITEM).await;
    get(&carts, "/carts/1/items").await;
    let text = get(&carts, "/metrics").await.text;
    assert_eq!(text, get(&carts, "/prometheus").await.text);
    for line in [
        "# TYPE requests_total counter",
        "requests_total 1",
        "# TYPE requests_latency_seconds histogram",
        "requests_latency_seconds_bucket{le=\"0.75\"} 0",
        "requests_latency_seconds_bucket{le=\"2.5\"} 1",
        "requests_latency_seconds_count 1",
        "http_requests_total{handler=\"ItemsController.addToCart\",method=\"POST\",status=\"201\"} 1",
        "http_requests_total{handler=\"ItemsController.getItems\",method=\"GET\",status=\"200\"} 1",
        "http_response_time_milliseconds_count{handler=\"ItemsController.addToCart\",method=\"POST\",status=\"201\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    let sum = text.lines().find_map(|line| line.strip_prefix("requests_latency_seconds_sum ")).unwrap().parse::<f64>().unwrap();
    assert!((1.0..1.01).contains(&sum), "{sum}");
    let ms = "http_response_time_milliseconds_bucket{handler=\"ItemsController.addToCart\",method=\"POST\",status=\"201\",le=";
    assert_eq!(text.matches(ms).count(), 21, "20 buckets and +Inf");
    assert!(text.contains(&format!("{ms}\"1.5\"}} 0")) && text.contains(&format!("{ms}\"2216.8378200531")), "{text}");
}

#[tokio::test]
async fn two_instances_do_not_share_their_metrics() {
    let (one, other) = (router(settings("0.8.1")), router(settings("0.8.1")));
    call(&one, "POST", "/carts/1/items", ITEM).await;
    assert!(get(&other, "/metrics").await.text.contains("requests_total 0\n"));
}

struct Served {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<io::Result<()>>,
}

async fn served(settings: Settings) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(serve(settings, listener, async { stopped.await.unwrap() }));
    Served { address, stop, ended }
}

async fn send(stream: &mut TcpStream, method: &str, path: &str, body: &str) {
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: carts\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
}

async fn status(stream: &mut TcpStream) -> StatusCode {
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    StatusCode::from_bytes(&head[9..]).unwrap()
}

#[tokio::test]
async fn a_hanging_post_never_answers_while_its_connection_stays_open_and_the_rest_answers() {
    let carts = served(Settings { hang: true, ..settings("0.8.2") }).await;
    let mut hanging = TcpStream::connect(carts.address).await.unwrap();
    send(&mut hanging, "POST", "/carts/1/items", ITEM).await;
    for _ in 0..3 {
        let mut other = TcpStream::connect(carts.address).await.unwrap();
        send(&mut other, "GET", "/version", "").await;
        assert_eq!(status(&mut other).await, StatusCode::OK);
    }
    let silence = tokio::time::timeout(Duration::from_millis(1200), hanging.read_u8()).await;
    assert!(silence.is_err(), "the connection gave {silence:?}");
    carts.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(3), carts.ended).await.expect("a hanging process must end too").unwrap().unwrap();
}

#[tokio::test]
async fn a_shutdown_lets_the_request_in_flight_end_and_closes_idle_connections() {
    let carts = served(Settings { delay_ms: 300, ..settings("0.8.1") }).await;
    let mut idle = TcpStream::connect(carts.address).await.unwrap();
    send(&mut idle, "GET", "/version", "").await;
    assert_eq!(status(&mut idle).await, StatusCode::OK);
    let mut busy = TcpStream::connect(carts.address).await.unwrap();
    send(&mut busy, "POST", "/carts/1/items", ITEM).await;
    // The metrics say when the POST has arrived; only then the shutdown begins.
    let arrived = async {
        loop {
            let mut probe = TcpStream::connect(carts.address).await.unwrap();
            probe.write_all(b"GET /metrics HTTP/1.1\r\nHost: carts\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut text = String::new();
            probe.read_to_string(&mut text).await.unwrap();
            if text.contains("requests_total 1\n") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), arrived).await.unwrap();
    carts.stop.send(()).unwrap();
    assert_eq!(status(&mut busy).await, StatusCode::CREATED);
    carts.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(carts.address).await.is_err(), "the listener must be closed");
}
