//! The handlers of the items of a cart; only the POST is ever delayed, fails at random or hangs.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::carts::answer::{Json, plain};
use crate::carts::cart::{owner, refused};
use crate::carts::fault::Fault;
use crate::carts::item::Item;
use crate::carts::service::Service;
use crate::carts::special::{self, Cost};
use crate::carts::store::Refusal;

/// `GET /carts/{customer}/items`.
pub async fn list(State(service): State<Arc<Service>>, Path(customer): Path<String>) -> Result<Response, Fault> {
    let customer = owner(customer)?;
    let items = service.store().items(&customer).to_vec();
    Ok(Json(items).into_response())
}

/// `POST /carts/{customer}/items`: sleeps for the delay, fails at the promotion rate, then adds the item or
/// increments the quantity of the one in the cart. Status 201.
pub async fn add(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Fault> {
    let customer = owner(customer)?;
    let item = Item::read(&headers, &body)?;
    let _posting = service.metrics.posting();
    if service.settings.hang {
        return std::future::pending().await;
    }
    let fate = service.fate(Instant::now());
    tokio::time::sleep(fate.delay).await;
    if let Some(message) = fate.failure {
        return Err(Fault::internal(message));
    }
    let found = service.store().find(&customer, &item.item_id);
    let stored = match found {
        Ok(_) => {
            pay(&service, special::cost(service.settings.tag.release(), &item.item_id, fate.per_minute)).await?;
            increment(&service, &customer, item)
        }
        Err(_) => service.store().add(&customer, item),
    };
    Ok((StatusCode::CREATED, Json(stored.map_err(refused)?)).into_response())
}

/// `PATCH /carts/{customer}/items`: sets the quantity of an item.
pub async fn update(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Fault> {
    let customer = owner(customer)?;
    let item = Item::read(&headers, &body)?;
    service.store().set_quantity(&customer, &item.item_id, item.quantity).map_err(refused)?;
    Ok(StatusCode::ACCEPTED)
}

/// `GET /carts/{customer}/items/{item}`.
pub async fn show(State(service): State<Arc<Service>>, Path((customer, item_id)): Path<(String, String)>) -> Result<Response, Fault> {
    let item = service.store().find(&owner(customer)?, &item_id).map_err(refused)?;
    Ok(Json(item).into_response())
}

/// `DELETE /carts/{customer}/items/{item}`.
pub async fn remove(State(service): State<Arc<Service>>, Path((customer, item_id)): Path<(String, String)>) -> Result<StatusCode, Fault> {
    service.store().remove_item(&owner(customer)?, &item_id).map_err(refused)?;
    Ok(StatusCode::ACCEPTED)
}

/// `GET /carts/{customer}/items/delay/{ms}`: changes the delay of the POST; the info page keeps its value.
pub async fn set_delay(State(service): State<Arc<Service>>, Path((_, ms)): Path<(String, String)>) {
    service.set_delay(&ms);
}

/// `GET /carts/{customer}/items/promotion/{percent}`: changes the failure rate of the POST.
pub async fn set_promotion(State(service): State<Arc<Service>>, Path((_, percent)): Path<(String, String)>) {
    service.set_promotion(&percent);
}

/// `GET /carts/{customer}/items/health`.
pub async fn health() -> Response {
    plain("OK - endpoint available")
}

/// Adds one to the quantity of an item; one that was taken out meanwhile is put in again.
fn increment(service: &Service, customer: &str, item: Item) -> Result<Item, Refusal> {
    let mut store = service.store();
    match store.find(customer, &item.item_id) {
        Ok(found) => store.set_quantity(customer, &item.item_id, found.quantity.saturating_add(1)),
        Err(_) => store.add(customer, item),
    }
}

/// Spends what a special article costs; work is done off the loop, by few at a time.
async fn pay(service: &Arc<Service>, cost: Cost) -> Result<(), Fault> {
    match cost {
        Cost::None => {}
        Cost::Sleep(time) => tokio::time::sleep(time).await,
        Cost::Work => {
            let _worker = service.workers.acquire().await.map_err(|closed| Fault::internal(closed.to_string()))?;
            let done = tokio::task::spawn_blocking(|| special::work(special::WORK_LIMIT)).await;
            done.map_err(|stopped| Fault::internal(stopped.to_string()))?;
        }
    }
    Ok(())
}
