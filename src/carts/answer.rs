//! The shapes of answers: JSON and plain text under the media types of the original, and its dates.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Answers with plain text.
pub fn plain(text: impl Into<String>) -> Response {
    ([(CONTENT_TYPE, "text/plain;charset=UTF-8")], text.into()).into_response()
}

/// Answers with JSON under the media type of the original.
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.0).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
        response
    }
}

/// Returns the date and time as the original writes it, such as `2019-12-11T10:09:08.007+00:00`.
pub fn date_now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3f+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_carry_milliseconds_and_an_offset() {
        let date = date_now();
        assert_eq!((date.len(), date.get(19..20), date.get(23..)), (29, Some("."), Some("+00:00")), "{date}");
    }
}
