//! What keptn's jmeter-service knew: workloads and their file, the URL under test, and the summary of a run.

mod reader;
mod summary;
mod url;
mod workload;

pub use reader::{read, read_keptn};
pub use summary::{NoSummary, Summary, last_summary};
pub use url::{Scheme, TestUrl, UrlError, service_url};
pub use workload::{UnknownStrategy, Workload, Workloads, service_script};
