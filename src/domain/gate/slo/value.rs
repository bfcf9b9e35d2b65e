//! What a provider said of an SLI, and how the Prometheus providers of keptn made a value of an answer.

/// One SLI result as a provider delivers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The name of the SLI.
    pub metric: String,
    /// The value; 0 when there is none.
    pub value: f64,
    /// Whether the value was obtained.
    pub success: bool,
    /// Why not.
    pub message: String,
}

impl Value {
    /// Makes a value that was obtained.
    #[must_use]
    pub fn new(metric: &str, value: f64) -> Self {
        Self { metric: metric.to_owned(), value, success: true, message: String::new() }
    }

    /// Makes a result without a value.
    #[must_use]
    pub fn failed(metric: &str, message: impl Into<String>) -> Self {
        Self { metric: metric.to_owned(), value: 0.0, success: false, message: message.into() }
    }
}

/// What a provider delivered for one evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The values, in its order.
    pub values: Vec<Value>,
    /// The result of its event: empty, `pass`, `warning` or `fail`.
    pub result: String,
    /// The message of its event.
    pub message: String,
}

/// Which provider made a value of a Prometheus answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// prometheus-sli-service, of keptn 0.6 and 0.7.
    Older,
    /// prometheus-service, since 0.8.
    Newer,
}

impl Provider {
    /// Makes an SLI result of the samples of an instant vector.
    ///
    /// The older provider takes the first sample and calls an empty vector 0; the newer one wants exactly one number.
    #[must_use]
    pub fn value(self, metric: &str, samples: &[f64]) -> Value {
        match (self, samples) {
            (Self::Older, []) => Value::new(metric, 0.0),
            (Self::Older, [first, ..]) => Value::new(metric, *first),
            (Self::Newer, []) => Value::failed(metric, "query did not return any values"),
            (Self::Newer, [one]) if one.is_nan() => Value::failed(metric, "query did not return valid values"),
            (Self::Newer, [one]) => Value::new(metric, *one),
            (Self::Newer, _) => Value::failed(metric, "query did return multiple values"),
        }
    }
}
