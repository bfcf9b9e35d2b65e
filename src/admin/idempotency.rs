//! Lets a client that lost an answer ask again without doing it again: the same `Idempotency-Key` gets the same answer.
//!
//! Answers are kept in memory: for a day, of at most a thousand requests, and at most 8 MiB of them; of more those of whoever has most
//! give way. Those of callers who may not command are not kept: they change nothing. A restart forgets them. What failed here (5xx), what
//! was refused for its condition, and who was not let in is not kept: asking again may succeed. An abort and a denial are carried out
//! each time, whatever their key says: doing them again does no harm, and an answer from before would.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::access::{self, CALLER};
use crate::admin::body::PATIENCE;
use crate::admin::condition::{self, EXPECTED};
use crate::admin::problem::Problem;

/// The field that names a request.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is one from before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest key, in characters.
const LONGEST: usize = 128;
/// How many requests are remembered.
pub const MOST: usize = 1_000;
/// How many bytes of answers.
pub const MOST_BYTES: usize = 8 << 20;
/// How many requests of one caller are being carried out at a time.
pub const AT_ONCE: usize = 64;
/// How long.
pub const AGE: Duration = Duration::from_secs(24 * 3600);
/// The largest body of a request or of an answer, in bytes.
const LARGEST: usize = 1 << 20;
/// The fields of an answer that are kept.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

/// The answers that are kept. Copies share everything.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// By who asked and their key. Guards the table; written when a request with a key begins and ends, never held across I/O.
    table: Arc<Mutex<HashMap<(String, String), Kept>>>,
}

#[derive(Debug)]
struct Kept {
    /// What was asked.
    asked: [u8; 32],
    since: Instant,
    /// `None` for as long as it is being carried out.
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// What becomes of a request.
enum Turn {
    /// It is the first of its key.
    First,
    /// It was answered before.
    Again(Answer),
}

/// Answers a request with a key from memory, or remembers its answer.
pub async fn remember(State(answers): State<Answers>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !condition::changes(request.method(), path) || is_urgent(path) || !request.headers().contains_key(&KEY) || !access::may_command() {
        return next.run(request).await;
    }
    answer(answers, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

/// Says whether what is posted to a path takes the canary's share away, and so is done each time it is asked for.
pub(super) fn is_urgent(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    matches!(parts.as_slice(), ["v1", "rollouts", _, "abort" | "deny"] | ["v1", "projects", _, "services", _, "stages", _, "abort"])
}

async fn answer(answers: Answers, request: Request, next: Next) -> Result<Response, Problem> {
    let mut keys = request.headers().get_all(&KEY).iter();
    let key = match (keys.next().and_then(|key| key.to_str().ok()), keys.next()) {
        (Some(key), None) if (1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => key.to_owned(),
        _ => {
            let detail = format!("an Idempotency-Key is one text of 1 to {LONGEST} visible ASCII characters, such as a UUID");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
    };
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(PATIENCE, to_bytes(body, LARGEST)).await {
        Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s")),
        Ok(Err(_)) => return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB, or broken")),
        Ok(Ok(body)) => body,
    };
    let mut sum = digest::Context::new(&digest::SHA256);
    for part in [head.method.as_str(), head.uri.path(), head.uri.query().unwrap_or_default()] {
        sum.update(&(part.len() as u64).to_be_bytes());
        sum.update(part.as_bytes());
    }
    sum.update(&body);
    let mut asked = [0; 32];
    asked.copy_from_slice(sum.finish().as_ref());
    let caller = CALLER.try_with(|caller| caller.name.clone()).ok().flatten().unwrap_or_default();
    let place = (caller, key);
    match answers.begin(&place, asked, Instant::now())? {
        Turn::Again(answer) => Ok(answer.again()),
        Turn::First => carry_out(answers, place, Request::from_parts(head, Body::from(body)), next).await,
    }
}

/// Carries a request out in a task of its own: whoever asked may have gone before it is done, and comes again to be told.
async fn carry_out(answers: Answers, place: (String, String), request: Request, next: Next) -> Result<Response, Problem> {
    let failed =
        |_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was not carried out to its end; look at what became of it");
    let caller = CALLER.try_with(Clone::clone).map_err(failed)?;
    let expected = EXPECTED.try_with(Clone::clone).unwrap_or_default();
    let pending = Pending { answers, place: Some(place) };
    let task = tokio::spawn(CALLER.scope(
        caller,
        EXPECTED.scope(expected, async move {
            let (head, body) = next.run(request).await.into_parts();
            let Ok(body) = to_bytes(body, LARGEST).await else {
                return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer is too large to be kept; ask without a key"));
            };
            let fields = KEPT.into_iter().filter_map(|name| Some((name.clone(), head.headers.get(name)?.clone()))).collect();
            pending.end(Answer { status: head.status, fields, body: body.clone() });
            Ok(Response::from_parts(head, Body::from(body)))
        }),
    ));
    task.await.map_err(|_| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was not carried out to its end; look at what became of it")
    })?
}

/// A request that is being carried out; one that never ends is forgotten.
struct Pending {
    answers: Answers,
    place: Option<(String, String)>,
}

impl Pending {
    fn end(mut self, answer: Answer) {
        let passing = matches!(
            answer.status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::PRECONDITION_FAILED
                | StatusCode::PRECONDITION_REQUIRED
        );
        if answer.status.is_server_error() || passing {
            return;
        }
        let mut table = self.answers.table();
        if let Some(place) = self.place.take()
            && let Some(kept) = table.get_mut(&place)
        {
            kept.answer = Some(answer);
        }
        while table.values().map(Kept::bytes).sum::<usize>() > MOST_BYTES && give_way(&mut table, Kept::bytes) {}
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            self.answers.table().remove(place);
        }
    }
}

impl Answers {
    /// Takes a request in, or says what became of it before.
    fn begin(&self, place: &(String, String), asked: [u8; 32], now: Instant) -> Result<Turn, Problem> {
        let mut table = self.table();
        table.retain(|_, kept| kept.answer.is_none() || now.saturating_duration_since(kept.since) < AGE);
        if let Some(kept) = table.get(place) {
            if kept.asked != asked {
                let detail = "this Idempotency-Key came with another request before; take a new key for a new request";
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
            }
            let busy =
                || Problem::new(StatusCode::CONFLICT, "the request with this Idempotency-Key is being carried out; ask again in a moment");
            return kept.answer.clone().map(Turn::Again).ok_or_else(busy);
        }
        let under_way = table.iter().filter(|((caller, _), kept)| *caller == place.0 && kept.answer.is_none()).count();
        if under_way >= AT_ONCE || (table.len() >= MOST && !give_way(&mut table, |_| 1)) {
            let detail = "too many requests with an Idempotency-Key are being carried out; ask again in a moment";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
        table.insert(place.clone(), Kept { asked, since: now, answer: None });
        Ok(Turn::First)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<(String, String), Kept>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the oldest answer of whoever has the most by a measure; says whether there was one.
fn give_way(table: &mut HashMap<(String, String), Kept>, measure: fn(&Kept) -> usize) -> bool {
    let mut held: HashMap<&str, usize> = HashMap::new();
    for ((caller, _), kept) in table.iter().filter(|(_, kept)| kept.answer.is_some()) {
        *held.entry(caller).or_default() += measure(kept);
    }
    let most = held.into_iter().max_by_key(|(_, sum)| *sum).map(|(caller, _)| caller);
    let of_most = table.iter().filter(|((caller, _), kept)| Some(&**caller) == most && kept.answer.is_some());
    let oldest = of_most.min_by_key(|(_, kept)| kept.since).map(|(place, _)| place.clone());
    oldest.is_some_and(|place| table.remove(&place).is_some())
}

impl Kept {
    fn bytes(&self) -> usize {
        self.answer.as_ref().map_or(0, |answer| answer.body.len())
    }
}

impl Answer {
    fn again(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        for (name, value) in self.fields {
            response.headers_mut().insert(name, value);
        }
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: usize) -> (String, String) {
        ("ann".to_owned(), number.to_string())
    }

    fn done() -> Answer {
        Answer { status: StatusCode::OK, fields: Vec::new(), body: Bytes::from_static(b"{}") }
    }

    #[test]
    fn a_thousand_are_remembered_for_a_day_and_the_oldest_gives_way() {
        let (answers, begun) = (Answers::default(), Instant::now());
        for number in 0..MOST {
            answered(&answers, place(number), begun + Duration::from_millis(number as u64), Bytes::new());
        }
        assert!(matches!(answers.begin(&place(0), [0; 32], begun), Ok(Turn::Again(_))));
        assert!(matches!(answers.begin(&place(MOST), [0; 32], begun), Ok(Turn::First)));
        assert_eq!(answers.table().len(), MOST);
        assert!(matches!(answers.begin(&place(1), [0; 32], begun), Ok(Turn::Again(_))));
        assert!(!answers.table().contains_key(&place(0)), "the oldest has given way");
        drop(answers.begin(&place(0), [0; 32], begun + AGE + Duration::from_secs(60)));
        assert!(!answers.table().contains_key(&place(1)), "it is a day old");
        assert!(answers.table().contains_key(&place(MOST)), "it is being carried out still");
    }

    fn of(caller: &str, number: usize) -> (String, String) {
        (caller.to_owned(), number.to_string())
    }

    fn answered(answers: &Answers, place: (String, String), now: Instant, body: Bytes) {
        assert!(matches!(answers.begin(&place, [0; 32], now), Ok(Turn::First)));
        Pending { answers: answers.clone(), place: Some(place) }.end(Answer { body, ..done() });
    }

    #[test]
    fn whoever_asks_most_gives_way_and_nobody_else() {
        let (answers, begun) = (Answers::default(), Instant::now());
        answered(&answers, of("ann", 0), begun, Bytes::new());
        for number in 0..3 * MOST {
            answered(&answers, of("bob", number), begun + Duration::from_millis(number as u64), Bytes::new());
        }
        assert!(answers.table().len() <= MOST);
        assert!(matches!(answers.begin(&of("ann", 0), [0; 32], begun), Ok(Turn::Again(_))), "ann has asked once");
        assert!(matches!(answers.begin(&of("bob", 3 * MOST - 1), [0; 32], begun), Ok(Turn::Again(_))));
        assert!(matches!(answers.begin(&of("bob", 0), [0; 32], begun), Ok(Turn::First)));
    }

    #[test]
    fn large_answers_give_way_to_small_ones() {
        let (answers, begun) = (Answers::default(), Instant::now());
        answered(&answers, of("ann", 0), begun, Bytes::from(vec![0; 1000]));
        for number in 0..100 {
            answered(&answers, of("bob", number), begun, Bytes::from(vec![0; LARGEST]));
        }
        let bytes: usize = answers.table().values().filter_map(|kept| Some(kept.answer.as_ref()?.body.len())).sum();
        assert!((LARGEST..=MOST_BYTES).contains(&bytes), "{bytes} bytes");
        assert!(matches!(answers.begin(&of("ann", 0), [0; 32], begun), Ok(Turn::Again(_))), "hers is small");
    }

    #[test]
    fn one_caller_cannot_keep_the_others_out_with_what_is_being_carried_out() {
        let (answers, begun) = (Answers::default(), Instant::now());
        let taken = (0..MOST).filter(|number| answers.begin(&of("bob", *number), [0; 32], begun).is_ok()).count();
        assert_eq!(taken, AT_ONCE);
        assert!(matches!(answers.begin(&of("ann", 0), [0; 32], begun), Ok(Turn::First)));
    }

    #[test]
    fn what_was_not_carried_out_is_forgotten() {
        let answers = Answers::default();
        for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::PRECONDITION_FAILED, StatusCode::FORBIDDEN] {
            assert!(matches!(answers.begin(&place(0), [0; 32], Instant::now()), Ok(Turn::First)));
            assert!(answers.begin(&place(0), [0; 32], Instant::now()).is_err(), "one at a time");
            Pending { answers: answers.clone(), place: Some(place(0)) }.end(Answer { status, ..done() });
        }
        assert_eq!(answers.table().len(), 0);
    }
}
