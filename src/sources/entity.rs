//! Finds the Dynatrace entity of a service by its tags: as keptn did, the one with the most requests in the window.

use serde_json::json;
use tokio::time::Instant;

use crate::formats::evaluation_window::Window;
use crate::sources::dynatrace::{Dynatrace, Series};
use crate::sources::trouble::Trouble;

/// The series that tells how busy a service is.
const REQUESTS: &str = "com.dynatrace.builtin:service.server_side_requests";

impl Dynatrace {
    /// Finds the entity with all these tags, such as `service:carts`, that had the most server-side requests in the window,
    /// and waits for it as long as [`crate::sources::dynatrace::Patience`] says; `None` when there is none.
    ///
    /// # Errors
    ///
    /// Fails when Dynatrace cannot be asked. An answer of 400 means that it has no data yet, as keptn took it.
    pub async fn service(&self, tags: &[String], window: Window) -> Result<Option<String>, Trouble> {
        let series = Series {
            id: REQUESTS.to_owned(),
            aggregation: "COUNT".to_owned(),
            tags: tags.iter().map(|tag| json!(tag)).collect(),
            ..Series::default()
        };
        let until = Instant::now() + self.patience.limit;
        loop {
            match self.series(&series, window).await {
                Ok(values) => {
                    // Of several with as many requests the last one counts, as in the original.
                    let busiest = values.into_iter().max_by(|one, other| one.1.unwrap_or(0.0).total_cmp(&other.1.unwrap_or(0.0)));
                    if let Some((entity, _)) = busiest {
                        return Ok(Some(entity));
                    }
                }
                Err(Trouble::Refused { status: 400, .. }) => {}
                Err(trouble) => return Err(trouble),
            }
            if Instant::now() + self.patience.pause > until {
                return Ok(None);
            }
            tracing::debug!(?tags, "Dynatrace does not know the service yet");
            tokio::time::sleep(self.patience.pause).await;
        }
    }
}
