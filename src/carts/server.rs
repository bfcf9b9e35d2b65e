//! The routes of carts, and serving them until told to stop.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post};
use axum::serve::ListenerExt as _;
use axum::{Router, serve as axum_serve};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::carts::fault::Fault;
use crate::carts::metrics::Metrics;
use crate::carts::service::Service;
use crate::carts::settings::Settings;
use crate::carts::{cart, items, page};

/// The largest body read, in bytes; an item needs about 200.
const MAX_BODY: usize = 64 * 1024;
/// How long a hanging process drains: what hangs will not end.
const HANG_DRAIN: Duration = Duration::from_millis(250);

/// Serves carts on `listener` until `shutdown` resolves, then lets requests in flight end for at most
/// [`Settings::drain`]. An idle keep-alive connection is never closed before that.
///
/// # Errors
///
/// None today; a failed accept is retried.
pub async fn serve(settings: Settings, listener: TcpListener, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let drain = if settings.hang { HANG_DRAIN.min(settings.drain) } else { settings.drain };
    let (begin, begun) = oneshot::channel();
    let listener = listener.tap_io(|stream| {
        if let Err(problem) = stream.set_nodelay(true) {
            tracing::debug!(%problem, "carts cannot switch off Nagle's algorithm");
        }
    });
    let server = axum_serve(listener, router(settings)).with_graceful_shutdown(async move {
        shutdown.await;
        // The receiver is gone only when `serve` itself was dropped, and then nobody waits for the drain.
        let _ = begin.send(());
    });
    let too_long = async move {
        match begun.await {
            Ok(()) => tokio::time::sleep(drain).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = async move { server.await } => ended,
        () = too_long => Ok(()),
    }
}

/// Builds the routes of one carts process with empty carts and its own metrics.
pub fn router(settings: Settings) -> Router {
    let service = Arc::new(Service::new(settings));
    let on = |handler, route: MethodRouter<Arc<Service>>| {
        route.route_layer(from_fn_with_state(Counted { service: Arc::clone(&service), handler }, count))
    };
    Router::new()
        .route("/", on("VersionController.getInformation", get(page::info)))
        .route("/version", on("VersionController.getVersion", get(page::version)))
        .route("/health", on("HealthCheckController.getHealth", get(page::health)))
        .route("/carts/{customer}", on("CartsController.get", get(cart::show)).merge(on("CartsController.delete", delete(cart::remove))))
        .route("/carts/{customer}/merge", on("CartsController.mergeCarts", get(cart::merge)))
        .route(
            "/carts/{customer}/items",
            on("ItemsController.getItems", get(items::list))
                .merge(on("ItemsController.addToCart", post(items::add)))
                .merge(on("ItemsController.updateItem", patch(items::update))),
        )
        .route(
            "/carts/{customer}/items/{item}",
            on("ItemsController.get", get(items::show)).merge(on("ItemsController.removeItem", delete(items::remove))),
        )
        .route("/carts/{customer}/items/delay/{ms}", on("ItemsController.setDelayInMillis", get(items::set_delay)))
        .route("/carts/{customer}/items/promotion/{percent}", on("ItemsController.setPromotionRate", get(items::set_promotion)))
        .route("/carts/{customer}/items/health", on("ItemsController.getHealth", get(items::health)))
        .route("/prometheus", get(scrape))
        .route("/metrics", get(scrape))
        .fallback(async || Fault::not_found())
        .method_not_allowed_fallback(async |method: Method| Fault::method_not_allowed(method.as_str()))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(explain))
        .with_state(service)
}

/// `GET /prometheus` (up to 0.11) and `GET /metrics` (from 0.12 on); every tag has both.
async fn scrape(State(service): State<Arc<Service>>) -> Result<Response, Fault> {
    let text = service.metrics.text().map_err(|problem| Fault::internal(problem.to_string()))?;
    Ok(([(CONTENT_TYPE, Metrics::media_type())], text).into_response())
}

/// Which handler of which process is counted.
#[derive(Clone)]
struct Counted {
    service: Arc<Service>,
    handler: &'static str,
}

async fn count(State(counted): State<Counted>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let response = next.run(request).await;
    counted.service.metrics.answered(method.as_str(), counted.handler, response.status().as_u16(), started);
    response
}

/// Writes the body of a fault, for which the path is needed.
async fn explain(uri: Uri, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    match response.extensions().get::<Fault>() {
        Some(fault) => {
            let mut answer = fault.answer(&uri);
            if let Some(allowed) = response.headers().get(ALLOW) {
                answer.headers_mut().insert(ALLOW, allowed.clone());
            }
            answer
        }
        None => response,
    }
}
