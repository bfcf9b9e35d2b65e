//! The handlers of whole carts.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::carts::answer::Json;
use crate::carts::fault::Fault;
use crate::carts::item::MAX_ID_BYTES;
use crate::carts::service::Service;
use crate::carts::store::Refusal;

/// `GET /carts/{customer}`: the cart, created when absent; like the original it shows only its owner.
pub async fn show(State(service): State<Arc<Service>>, Path(customer): Path<String>) -> Result<Response, Fault> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Cart {
        customer_id: String,
    }
    let customer = owner(customer)?;
    service.store().items(&customer);
    Ok(Json(Cart { customer_id: customer }).into_response())
}

/// `DELETE /carts/{customer}`.
pub async fn remove(State(service): State<Arc<Service>>, Path(customer): Path<String>) -> Result<StatusCode, Fault> {
    service.store().remove(&owner(customer)?);
    Ok(StatusCode::ACCEPTED)
}

/// The query of a merge.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    session_id: String,
}

/// `GET /carts/{customer}/merge?sessionId=`.
pub async fn merge(
    State(service): State<Arc<Service>>,
    Path(customer): Path<String>,
    session: Result<Query<Session>, QueryRejection>,
) -> Result<StatusCode, Fault> {
    let Query(session) = session.map_err(|_| Fault::bad_request("Required String parameter 'sessionId' is not present"))?;
    service.store().merge(&owner(customer)?, &owner(session.session_id)?).map_err(refused)?;
    Ok(StatusCode::ACCEPTED)
}

/// Checks the id of a customer.
pub fn owner(customer: String) -> Result<String, Fault> {
    if customer.len() > MAX_ID_BYTES {
        return Err(Fault::bad_request(format!("customerId is longer than {MAX_ID_BYTES} bytes")));
    }
    Ok(customer)
}

/// Answers a refusal of the store with status 500, as the original does.
pub fn refused(refusal: Refusal) -> Fault {
    Fault::internal(refusal.to_string())
}
