//! Answers one request: a review, or a question of the kubelet, of Prometheus, of a person.
//!
//! Whatever is a review gets 200 and an answer, a denial too: an API server takes any other status for a failure of the webhook.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::kube::inject::settings::Settings;
use crate::kube::review::{self, Answer, Invalid, MOST_BYTES, NoReview, Outcome};
use crate::kube::webhook::figures::Figures;

/// How long a body may take. An API server waits for the whole answer for 5 s in our registration, and never beyond 30 s.
pub const BODY: Duration = Duration::from_secs(5);
/// The most bytes of bodies that are held at a time.
const HELD: usize = 8 * MOST_BYTES;
/// Reviews above this many bytes are answered on another thread, one at a time, so that small ones need not wait for them, and so that
/// what is made of a large one is in memory once.
const LARGE: usize = 128 << 10;
/// The most bytes of bodies up to [`LARGE`] that are held at a time, which large ones that come slowly cannot take.
const HELD_SMALL: usize = 64 * LARGE;
/// How much of a body that nobody wants is read and thrown away, so that its sender reads the answer, and its connection can go on.
const DRAINED: usize = 4 * MOST_BYTES;
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What answers, shared by all connections.
#[derive(Debug)]
pub struct Hook {
    settings: Settings,
    invalid: Invalid,
    figures: Figures,
    /// Whether the API server can reach us and trusts us; false again once the process is about to end.
    ready: watch::Receiver<bool>,
    /// Bytes that bodies may still take that are larger than [`LARGE`], and those that are not, or not yet.
    held: Arc<Semaphore>,
    held_small: Arc<Semaphore>,
    /// The turn of large reviews.
    large: Arc<Semaphore>,
}

/// Why a request gets no answer to a review.
#[derive(Debug)]
enum Refused {
    NotFound,
    Method(&'static str),
    MediaType,
    TooLarge,
    TooSlow,
    Broken(String),
    NoReview(NoReview),
    Busy,
}

impl Hook {
    /// Makes one.
    #[must_use]
    pub fn new(settings: Settings, invalid: Invalid, figures: Figures, ready: watch::Receiver<bool>) -> Self {
        let [held, held_small, large] = [HELD, HELD_SMALL, 1].map(|most| Arc::new(Semaphore::new(most)));
        Self { settings, invalid, figures, ready, held, held_small, large }
    }

    /// Answers a request.
    pub async fn answer<B>(self: Arc<Self>, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let headless = request.method() == Method::HEAD;
        let mut response = self.route(request).await;
        if headless {
            // Over HTTP/2 nobody else takes it away.
            *response.body_mut() = Full::default();
        }
        response
    }

    /// Returns what it counts.
    #[must_use]
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Counts a connection over which nothing could be asked, and logs why now and then.
    pub fn missed(&self, why: &str) {
        if let Some(silent) = self.figures.missed() {
            tracing::warn!(why, silent, "a client did not come through TLS; others are only counted for a minute");
        }
    }

    async fn route<B>(self: Arc<Self>, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let asks = matches!(*request.method(), Method::GET | Method::HEAD);
        match (request.uri().path(), asks) {
            ("/mutate", _) if request.method() == Method::POST => match self.mutate(request).await {
                Ok(response) => response,
                Err((refused, closes)) => self.refuse(&refused, closes),
            },
            ("/mutate", _) => self.turn_away(request, Refused::Method("POST")).await,
            ("/livez", true) => text(StatusCode::OK, "ok\n"),
            ("/readyz", true) if *self.ready.borrow() => text(StatusCode::OK, "ok\n"),
            ("/readyz", true) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "not ready: the API server does not trust this process yet, or it ends\n")
            }
            ("/metrics", true) => {
                let mut response = text(StatusCode::OK, self.figures.text());
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT));
                response
            }
            ("/livez" | "/readyz" | "/metrics", false) => self.turn_away(request, Refused::Method("GET, HEAD")).await,
            _ => self.turn_away(request, Refused::NotFound).await,
        }
    }

    async fn mutate<B>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, (Refused, bool)>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let over_http1 = request.version() < Version::HTTP_2;
        let (head, mut body) = request.into_parts();
        let refused = if !is_json(&head.headers) {
            Some(Refused::MediaType)
        } else if announced(&head.headers).is_some_and(|length| length > MOST_BYTES as u64) {
            Some(Refused::TooLarge)
        } else {
            None
        };
        // Many small fields take many times their bytes, and the body may be long in coming.
        drop(head);
        if let Some(refused) = refused {
            return Err((refused, !drained(&mut body).await && over_http1));
        }
        // What is read is held until it is answered.
        let (bytes, held) = match timeout(BODY, self.read(&mut body)).await {
            Ok(Ok(read)) => read,
            Ok(Err(refused @ (Refused::TooLarge | Refused::Busy))) => return Err((refused, !drained(&mut body).await && over_http1)),
            Ok(Err(refused)) => return Err((refused, over_http1)),
            Err(_) => return Err((Refused::TooSlow, over_http1)),
        };
        let begun = Instant::now();
        let answer = self.review(bytes).await;
        drop(held);
        let took = begun.elapsed();
        let answer = answer.map_err(|error| (error, false))?;
        self.figures.reviewed(answer.outcome, took);
        tell(&answer);
        let mut response = Response::new(Full::new(answer.body.into()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(value) = HeaderValue::try_from(format!("review;dur={:.3}", took.as_secs_f64() * 1000.0)) {
            response.headers_mut().insert(SERVER_TIMING, value);
        }
        Ok(response)
    }

    async fn read<B>(&self, body: &mut B) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Refused>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let (mut bytes, mut held) = (Vec::new(), None::<OwnedSemaphorePermit>);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| Refused::Broken(error.to_string()))?.into_data() else { continue };
            if bytes.len() + data.len() > MOST_BYTES {
                return Err(Refused::TooLarge);
            }
            self.hold(&mut held, bytes.len(), bytes.len() + data.len())?;
            bytes.extend_from_slice(&data);
        }
        Ok((bytes, held))
    }

    /// Reserves what a body takes that grows from `before` to `after` bytes.
    fn hold(&self, held: &mut Option<OwnedSemaphorePermit>, before: usize, after: usize) -> Result<(), Refused> {
        let of = |bytes: usize| {
            let from = if after <= LARGE { &self.held_small } else { &self.held };
            let bytes = u32::try_from(bytes).map_err(|_| Refused::TooLarge)?;
            Arc::clone(from).try_acquire_many_owned(bytes).map_err(|_| Refused::Busy)
        };
        match held {
            Some(there) if (before <= LARGE) == (after <= LARGE) => there.merge(of(after - before)?),
            _ => *held = Some(of(after)?),
        }
        Ok(())
    }

    async fn review(&self, bytes: Vec<u8>) -> Result<Answer, Refused> {
        if bytes.len() <= LARGE {
            return review::review(&bytes, &self.settings, self.invalid).map_err(Refused::NoReview);
        }
        let turn = Arc::clone(&self.large).acquire_owned().await.map_err(|_| Refused::Busy)?;
        let (settings, invalid) = (self.settings.clone(), self.invalid);
        let answered = tokio::task::spawn_blocking(move || {
            let answered = review::review(&bytes, &settings, invalid);
            // Also where nobody waits for the answer any more.
            drop(turn);
            answered
        });
        answered.await.map_err(|_| Refused::Busy)?.map_err(Refused::NoReview)
    }

    async fn turn_away<B: Body<Data = Bytes> + Unpin>(&self, request: Request<B>, refused: Refused) -> Response<Full<Bytes>> {
        let over_http1 = request.version() < Version::HTTP_2;
        let closes = !drained(&mut request.into_body()).await && over_http1;
        self.refuse(&refused, closes)
    }

    fn refuse(&self, refused: &Refused, closes: bool) -> Response<Full<Bytes>> {
        let status = refused.status();
        self.figures.refused(status);
        let mut response = text(status, format!("{}\n", refused.told()));
        let headers = response.headers_mut();
        match refused {
            Refused::Method(allowed) => drop(headers.insert(ALLOW, HeaderValue::from_static(allowed))),
            Refused::Busy => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => {}
        }
        if closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Refused {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) | Self::NoReview(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn told(&self) -> String {
        match self {
            Self::NotFound => "nothing is here; POST an AdmissionReview to /mutate, or GET /livez, /readyz or /metrics".to_owned(),
            Self::Method(allowed) => format!("this path takes {allowed} alone; an AdmissionReview goes to /mutate by POST"),
            Self::MediaType => "an AdmissionReview has the Content-Type application/json".to_owned(),
            Self::TooLarge => format!("the body has more than {} MiB, and an object of Kubernetes at most 3 MiB", MOST_BYTES >> 20),
            Self::TooSlow => format!("the body did not come within {} s", BODY.as_secs()),
            Self::Broken(why) => format!("the body broke off: {why}"),
            Self::NoReview(why) => why.to_string(),
            Self::Busy => "too many large reviews at a time; ask again".to_owned(),
        }
    }
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body that is not wanted to its end, if that is near; says whether it was.
async fn drained<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> bool {
    let all = async {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DRAINED {
                return false;
            }
        }
        true
    };
    timeout(BODY, all).await.unwrap_or(false)
}

/// Logs what was decided. Nobody is told of what is not about pods, and the rest is one line each.
fn tell(answer: &Answer) {
    let Answer { outcome, pod, words, .. } = answer;
    let words = words.join("; ");
    match outcome {
        Outcome::Other => {}
        Outcome::Injected | Outcome::LeftAlone if words.is_empty() => tracing::debug!(%pod, outcome = outcome.word(), "reviewed"),
        Outcome::Injected | Outcome::LeftAlone => tracing::info!(%pod, outcome = outcome.word(), ?words, "reviewed"),
        Outcome::Invalid | Outcome::Denied | Outcome::Unread => tracing::warn!(%pod, outcome = outcome.word(), ?words, "reviewed"),
    }
}
