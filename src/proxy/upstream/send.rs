//! Sends one request to a version and waits for the head of its answer, over a second endpoint where the first fails it.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{Method, response};
use http_body::Body;

use crate::domain::outcome::Failure;
use crate::proxy::patrol::RequestGuard;
use crate::proxy::sanitise::{Framing, Outgoing};
use crate::proxy::upload::Upload;
use crate::proxy::upstream::dial::Conduit;
use crate::proxy::upstream::download::Download;
use crate::proxy::upstream::exchange::Exchange;
use crate::proxy::upstream::http2::lanes::Undialed;
use crate::proxy::upstream::pool::Pool;
use crate::proxy::upstream::slot::Seat;
use crate::seam::reach::Again;
use crate::seam::trace::Trail;

/// A version's answer: its head, and its body still to come.
pub struct Reply {
    /// The head.
    pub head: response::Parts,
    /// The body, with the connection it comes over.
    pub body: Download,
}

/// A request on its way: not begun, or over one connection after the other. It stays where it was made, because every move of it
/// would be a copy.
pub struct Parcel {
    packed: Option<(Outgoing, Upload)>,
    exchange: Option<Exchange>,
    /// The head of the answer, until it is taken.
    head: Option<response::Parts>,
    idempotent: bool,
    bodyless: bool,
    reuse: Reuse,
    /// It needs an HTTP/1.1 connection to itself.
    alone: bool,
    /// What failed it last failed others too, one of which has counted it.
    shared: bool,
    /// Where the attempts are noted, if the request is recorded.
    trail: Option<Rc<Trail>>,
}

/// Which pooled connections a request may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reuse {
    /// One that seems open: the request may be repeated.
    Lightly,
    /// One that the kernel says is open.
    Carefully,
}

/// Sends a request to the version of this pool.
///
/// An endpoint that cannot be connected to, or that ends the connection before it answers, is passed over for another one of
/// the version: once, when the request may be repeated (nothing was written, or it has no body and is idempotent, RFC 9110
/// section 9.2.2), and while the version's budget of retries lasts. A pooled connection that turns out to be dead is replaced
/// by a fresh one to the same endpoint before that, under the same condition: the endpoint may have closed it in that moment.
///
/// # Errors
///
/// Returns the failure, with blame; whether the request may be sent to another version tells [`Parcel::may_move`].
pub async fn send(pool: &Rc<Pool>, parcel: &mut Parcel, guard: &Rc<RequestGuard>, limit: Duration) -> Result<Reply, Failure> {
    if let Some(failure) = parcel.unfit() {
        parcel.packed = None;
        return Err(failure);
    }
    pool.request();
    let (mut seat, mut began) = pool.choose(None)?;
    let mut got = parcel.try_at(pool, &seat, guard, limit).await;
    if let Err(failure) = got
        && let Some(why) = parcel.another_try(failure)
        && pool.has_other(seat.slot())
        && pool.may_retry()
        && let Ok((other, now)) = pool.choose(Some(seat.slot()))
    {
        pool.tried_again(why);
        (seat, began) = (other, now);
        got = parcel.try_at(pool, &seat, guard, limit).await;
    }
    got?;
    // From here on it can be sent to nobody else.
    let (Some(head), Some(exchange)) = (parcel.head.take(), parcel.exchange.take()) else { return Err(Failure::NoEndpoint) };
    seat.answered(pool.reach(), head.status.as_u16(), began, || pool.now());
    let body = exchange.into_download(&head, parcel.bodyless, seat)?;
    Ok(Reply { head, body })
}

impl Parcel {
    /// Makes a request ready to be sent; its attempts are noted in `trail`, if they are.
    #[must_use]
    pub fn new(request: Outgoing, upload: Upload, trail: Option<Rc<Trail>>) -> Self {
        let (idempotent, bodyless) = (is_idempotent(&request.method) || upload.is_kept(), request.method == Method::HEAD);
        let reuse = if idempotent && upload.is_end_stream() { Reuse::Lightly } else { Reuse::Carefully };
        let alone = request.upgrade;
        Self { packed: Some((request, upload)), exchange: None, head: None, idempotent, bodyless, reuse, alone, shared: false, trail }
    }

    /// Says why it cannot be sent: its body could not be read, or is of another length than was announced. Sent so, its end or its rest
    /// would be taken for a request.
    fn unfit(&self) -> Option<Failure> {
        let (Outgoing { framing, .. }, upload) = self.packed.as_ref()?;
        let misframed = matches!(framing, Framing::Length(announced) if upload.size_hint().exact() != Some(*announced));
        upload.broken().or_else(|| misframed.then_some(Failure::RequestBodyInvalid))
    }

    /// Says whether it may be sent once more: no answer has begun, and repeating it does no harm.
    #[must_use]
    pub fn may_move(&self) -> bool {
        match &self.exchange {
            Some(exchange) => exchange.may_move(self.idempotent),
            None => self.packed.is_some(),
        }
    }

    /// Returns why it is worth another try at another endpoint, and allowed. Where the fault is ours, or the request's time is
    /// over, another endpoint would change nothing.
    fn another_try(&self, failure: Failure) -> Option<Again> {
        let why = match failure {
            Failure::ConnectionRefused | Failure::ConnectionTimeout | Failure::TlsCertificate | Failure::TlsHandshake => Again::Connect,
            Failure::ConnectionTerminated => Again::Reset,
            _ => return None,
        };
        self.may_move().then_some(why)
    }

    /// Tries it at one endpoint; what the endpoint does wrong is noted there.
    async fn try_at(&mut self, pool: &Pool, seat: &Seat, guard: &RequestGuard, limit: Duration) -> Result<(), Failure> {
        if self.trail.is_some() {
            self.note_attempt(pool, seat);
        }
        let got = self.try_links(pool, seat, guard, limit).await;
        if let Err(failure) = got {
            self.note_failure(pool, seat, failure);
        }
        got
    }

    /// Notes a failure where attempts are noted, and at the endpoint where it is to blame. What many requests share fails once, however many
    /// it takes along.
    fn note_failure(&mut self, pool: &Pool, seat: &Seat, failure: Failure) {
        if let Some(trail) = &self.trail {
            trail.failed(failure, pool.now());
        }
        if !std::mem::take(&mut self.shared) && self.exchange.as_ref().is_none_or(|exchange| exchange.blames_anew(failure)) {
            seat.failed(pool.reach(), failure, pool.now());
        }
    }

    /// Notes the attempt; a further one tells the endpoint its own span.
    #[cold]
    fn note_attempt(&mut self, pool: &Pool, seat: &Seat) {
        let Some(trail) = &self.trail else { return };
        let Some(span) = trail.attempt(seat.slot().place().target(), pool.now()) else { return };
        if let Some((request, _)) = &mut self.packed {
            request.call_from(span);
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.call_from(span);
        }
    }

    /// Tries a pooled connection, and a fresh one where there is none or it has ended.
    async fn try_links(&mut self, pool: &Pool, seat: &Seat, guard: &RequestGuard, limit: Duration) -> Result<(), Failure> {
        // A request that was given up once waits for no surprise of an idle connection.
        if self.exchange.is_none()
            && let Some(conduit) = seat.slot().checkout(self.reuse == Reuse::Lightly, pool.may_multiplex() && !self.alone)
        {
            match self.go(conduit, guard).await {
                Err(Failure::ConnectionTerminated) if self.may_move() => pool.tried_again(Again::Stale),
                got => return got,
            }
        }
        let conduit = self.open(pool, seat, guard, limit).await?;
        let got = self.go(conduit, guard).await;
        // A version may end a shared connection while a request is on its way to it, and says then that it did nothing with it.
        if matches!(got, Err(Failure::ConnectionTerminated)) && self.is_refused() && self.may_move() {
            pool.tried_again(Again::Stale);
            let conduit = self.open(pool, seat, guard, limit).await?;
            return self.go(conduit, guard).await;
        }
        got
    }

    async fn open(&mut self, pool: &Pool, seat: &Seat, guard: &RequestGuard, limit: Duration) -> Result<Conduit, Failure> {
        // In a box, so that a request over a connection that is there does not carry the room for making one.
        let opened = Box::pin(open(pool, seat, guard, limit, self.alone)).await;
        opened.map_err(|undialed| {
            self.shared = undialed.shared;
            undialed.failure
        })
    }

    /// Says whether the endpoint has said that it did nothing with the request.
    fn is_refused(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::is_refused)
    }

    async fn go(&mut self, conduit: Conduit, guard: &RequestGuard) -> Result<(), Failure> {
        if self.exchange.as_ref().is_some_and(|exchange| !exchange.fits(&conduit)) {
            // Some of its body is written for another HTTP already: the fault is ours.
            return Err(Failure::ProxyExhausted);
        }
        if self.exchange.is_some() {
            let exchange = self.exchange.take().ok_or(Failure::NoEndpoint)?;
            self.exchange = Some(exchange.move_to(conduit)?);
        } else if let Some((request, upload)) = self.packed.take() {
            self.exchange = Some(Exchange::new(conduit, request, upload));
        }
        let Some(exchange) = &mut self.exchange else { return Err(Failure::NoEndpoint) };
        self.head = Some(answer(exchange, guard, self.idempotent).await?);
        Ok(())
    }
}

const fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

async fn open(pool: &Pool, seat: &Seat, guard: &RequestGuard, limit: Duration, alone: bool) -> Result<Conduit, Undialed> {
    let mut connecting = pin!(async {
        match alone {
            false => pool.connect(seat, limit).await,
            true if pool.is_http2_only() => Err(Failure::NoEndpoint.into()),
            true => Box::pin(pool.connect_alone(seat, limit)).await.map(Conduit::Http1).map_err(Undialed::from),
        }
    });
    poll_fn(|cx| match guard.poll_expired(cx) {
        Some(failure) => Poll::Ready(Err(failure.into())),
        None if guard.is_recalled() => Poll::Ready(Err(Failure::TakenBack.into())),
        None => connecting.as_mut().poll(cx),
    })
    .await
}

async fn answer(exchange: &mut Exchange, guard: &RequestGuard, idempotent: bool) -> Result<response::Parts, Failure> {
    poll_fn(|cx| match exchange.poll_head(cx) {
        Poll::Pending => match guard.poll_expired(cx) {
            Some(failure) => Poll::Ready(Err(failure)),
            None if guard.is_recalled() && exchange.may_move(idempotent) => Poll::Ready(Err(Failure::TakenBack)),
            None => Poll::Pending,
        },
        ready => ready,
    })
    .await
}
