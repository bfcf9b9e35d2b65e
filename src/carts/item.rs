//! An item of a cart as JSON, read as leniently as the original's Jackson reads it.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde::{Deserialize, Deserializer, Serialize};

use crate::carts::fault::Fault;

/// The longest id of a customer or an article, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// One line of a cart. Two items are the same item when their `item_id` is the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The id of this line: 24 hexadecimal digits, given by the store.
    #[serde(default)]
    pub id: Option<String>,
    /// The id of the article.
    #[serde(default)]
    pub item_id: String,
    /// How many.
    #[serde(default = "one", deserialize_with = "number_or_text")]
    pub quantity: i32,
    /// The price of one, with the precision of the original.
    #[serde(default, deserialize_with = "number_or_text")]
    pub unit_price: f32,
}

impl Item {
    /// Reads the body of a POST or PATCH of an item.
    ///
    /// # Errors
    ///
    /// Status 415 when the body is not declared as JSON, 400 when it is not an item.
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Fault> {
        let declared = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let media = declared.as_deref().unwrap_or("").split(';').next().unwrap_or("").trim();
        if !media.eq_ignore_ascii_case("application/json") {
            return Err(Fault::unsupported_media(media));
        }
        if body.is_empty() {
            return Err(Fault::bad_request("Required request body is missing"));
        }
        // serde would also take a list of the fields in order; the original takes an object only.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(Fault::bad_request("Could not read JSON: expected an object"));
        }
        let item: Self = serde_json::from_slice(body).map_err(|problem| Fault::bad_request(format!("Could not read JSON: {problem}")))?;
        if item.item_id.len() > MAX_ID_BYTES {
            return Err(Fault::bad_request(format!("itemId is longer than {MAX_ID_BYTES} bytes")));
        }
        Ok(item)
    }
}

fn one() -> i32 {
    1
}

/// Accepts `99.99`, `"99.99"`, `""` and `null`; the last two mean zero.
fn number_or_text<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: Deserialize<'de> + std::str::FromStr + Default,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<N> {
        Number(N),
        Text(String),
        Nothing(()),
    }
    match Written::<N>::deserialize(deserializer)? {
        Written::Number(number) => Ok(number),
        Written::Nothing(()) => Ok(N::default()),
        Written::Text(text) if text.trim().is_empty() => Ok(N::default()),
        Written::Text(text) => text.trim().parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is not a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap())])
    }

    #[test]
    fn the_body_of_the_performance_test_is_an_item() {
        let body = b" {\r\n    \"itemId\":\"03fef6ac-1896-4ce8-bd69-b798f85c6e0b\",\r\n    \"unitPrice\":\"99.99\"\r\n }";
        let item = Item::read(&json(), body).unwrap();
        assert_eq!(item.quantity, 1);
        assert_eq!(
            serde_json::to_string(&item).unwrap(),
            r#"{"id":null,"itemId":"03fef6ac-1896-4ce8-bd69-b798f85c6e0b","quantity":1,"unitPrice":99.99}"#
        );
    }

    #[test]
    fn missing_and_unknown_keys_are_tolerated_and_nonsense_is_not() {
        let item = Item::read(&json(), br#"{"colour":"red","quantity":"3","unitPrice":""}"#).unwrap();
        assert_eq!((item.item_id.as_str(), item.quantity, item.unit_price), ("", 3, 0.0));
        assert_eq!(Item::read(&json(), br#"{"quantity":null}"#).unwrap().quantity, 0);
        for bad in [&b""[..], b"{", b"[]", br#"{"quantity":"many"}"#, br#"{"itemId":7}"#, b"\xff"] {
            assert_eq!(Item::read(&json(), bad).unwrap_err().status(), 400, "{bad:?}");
        }
        let long = format!(r#"{{"itemId":"{}"}}"#, "x".repeat(MAX_ID_BYTES + 1));
        assert_eq!(Item::read(&json(), long.as_bytes()).unwrap_err().status(), 400);
    }

    #[test]
    fn a_body_that_is_not_declared_as_json_is_refused() {
        assert_eq!(Item::read(&HeaderMap::new(), b"{}").unwrap_err().status(), 415);
        let text = HeaderMap::from_iter([(CONTENT_TYPE, "text/plain".parse().unwrap())]);
        assert_eq!(Item::read(&text, b"{}").unwrap_err().status(), 415);
    }
}
