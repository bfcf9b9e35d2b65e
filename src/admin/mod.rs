//! The admin listener: health, metrics and the rollout API.
//!
//! It has a thread, a runtime and connections of its own, so that it answers while the data plane is saturated; what it
//! shows it reads from the controller's board, and what it is told it hands to the controller.
//!
//! # Paths
//!
//! | path | what it answers |
//! |---|---|
//! | `GET /` | the dashboard, for a browser; it asks for nothing but the paths below |
//! | `GET /livez`, `/healthz`, `/readyz` | whether the process lives, and whether it may get traffic |
//! | `GET /version`, `/metrics` | the program's version; the metrics for Prometheus |
//! | `GET /v1/rollouts` | `rollouts`: every service as below |
//! | `GET /v1/rollouts/{name}` | one service: `name`, `owner`, `rollout` (null before the first), `rejected` |
//! | `GET /v1/rollouts/{name}/history` | how both versions answered lately: `window_seconds`, `points`, `spectra` |
//! | `GET /v1/rollouts/{name}/journal?last=N` | what was decided and why: `entries`, the newest N (1 to 1 000, usually 100; at most 2 MiB), the newest last, each with its `sequence` and its `entry` or why it is `unreadable`; `complete`: whether these are all that are kept |
//! | `GET /v1/rollouts/{name}/verdict` | one word of the gates: `verdict`, `pass`, with `service`, `canary`, `phase`, `reason` |
//! | `GET /v1/openapi.json` | this API as OpenAPI 3.1 |
//! | `GET /v1/whoami` | who asks and what they may do: `name`, `role`, `socket` (where commands are taken without a token) |
//! | `GET /v1/journal` | whether the journal is the chain it was written as: `entries`, `oldest`, `newest` (`sequence`, `sha256`), `unlinked` (written by releases that linked nothing), `lost` (what became of an earlier journal whose place this one has taken, where there was one), `broken` (`sequence`, `reason`; null where it is whole) |
//! | `GET /v1/notices` | `notices`: what people were told, each with `at`, `service`, `sentence`, `alarm` |
//! | `POST /v1/rollouts` | starts a rollout: `service`, `canary`, `retry`, `actor` |
//! | `POST /v1/rollouts/{name}/abort` | an operator's command: `actor`, `reason`, and `ramp` where the share may go back in steps |
//! | `POST /v1/rollouts/{name}/promote`, `/resume` | an operator's commands: `actor`, `reason` |
//! | `GET /v1/projects` | `projects`: each with its `services` and their `stages`: `host`, `live`, `run`, `queue`, `last`, `rejected` |
//! | `POST /v1/projects` | makes a project: `name`, `shipyard` (the text), `compat` (`strict` or `keptn`) |
//! | `POST /v1/projects/{project}/services` | makes a service known: `name` |
//! | `PUT /v1/projects/{project}/resources?uri=PATH[&stage=…][&service=…]` | puts a file where they look for it |
//! | `POST /v1/projects/{project}/services/{service}/artifacts` | delivers: `image`, `tag`, `stage`, `retry`, `actor` |
//! | `POST /v1/projects/{project}/services/{service}/stages/{stage}/approve`, `/deny`, `/abort` | an operator's commands: `actor`, `reason` |
//! | `GET /v1/events` | what happens, as server-sent events: `transition`, `snapshot`, `notices`, `projects` |
//! | `POST /v1/events` | takes in a CloudEvent |
//! | `GET /v1/contexts/{id}` | `entries`: everything that was decided under a `shkeptncontext` |
//!
//! What is refused is told as `application/problem+json` (RFC 9457).
//!
//! Looking takes the role viewer, commands take operator, changes of projects take admin; health and version take none. Over the Unix
//! socket everybody is an admin; over a loopback address who says nothing of themselves is what `admin` in the configuration leaves
//! them; from other machines a token (`Authorization: Bearer`, or as the password of `Basic`) or a name in a client certificate says
//! who it is. An actor in a body is completed by who is known.
//!
//! `/promote`, `/resume`, `/pause`, `/weight` and `/retry` need an `If-Match` with the `ETag` of `GET /v1/rollouts/{name}` or `*`: 428
//! without, 412 where the rollout has changed since. An abort needs none. What comes again with the same `Idempotency-Key` and is the same
//! gets the same answer, with `Idempotent-Replayed: true`, for a day and until the process ends; something else with it is a 422. An abort
//! and a denial of a rollout, and an abort in a stage, heed no key and are carried out each time.
//!
//! # Words
//!
//! Weights are basis points (10 000 is everything), times say their unit in their name, `…_ns` on the process's own clock.
//! Evidence is a natural logarithm: ln E = 6.9 is evidence of 1 in 1 000.
//!
//! - A version: `name`, `endpoints`; it is spoken to (TLS, HTTP/2) as the service's configured stable version is.
//! - A service: `name`, `owner`, its current or last `rollout`, what a rollout that is to begin `waits` for (one sentence), `rejected`,
//!   `endpoints`.
//! - A rollout: `id`, `stable`, `canary`, `phase`, `step` (from 0) of `steps`, `weight`, `generation`, `reason`, `actor` (who decided
//!   last), `warned` (whether a step was passed with a warning), `evidence` (of the last decision), `gates`, `file` (the gate file's
//!   `verdict` and `reason`), `needs` (more clean requests until every gate passes) and `needs_seconds` at the present traffic,
//!   `held_seconds` (left of the hold, the watch or the time to confirm), `warm_up_seconds` (left), `rate` (requests per second over both
//!   versions), `brakes`, `canary_requests`, `durable`.
//! - Its `plan`: `steps`, each with `weight` and `hold_seconds`, and `harm`. Its `policy`: `alpha`, `alpha_brake`, `beta`,
//!   `burst_tolerance_seconds`, `warm_up_seconds`, `outcome_deadline_seconds`, `max_bake_seconds`, `inconclusive`, `watch_seconds`,
//!   `min_clients`.
//! - Its `trip`: `evident_ns`, `tripped_ns`, `first_breach_started_ns`, `last_canary_started_ns`, `breaches`, `requests`,
//!   `started_after_trip`.
//! - A gate: `gate`, `origin`, `verdict`, `requests` and `breaches` since the step began, `unit` (`share`, `nanoseconds` or `score`) of
//!   `value`, `limit`, `lower` and `upper` (bounds that hold at all times together), the pass evidence `log_e` with `log_threshold` and its
//!   `basis`, the brake evidence `brake_log_e` with `brake_log_threshold`, the confirming evidence `confirm_log_e` with
//!   `confirm_log_threshold`, `needs`, and `awaits_stable` (requests of stable that may have to be seen before `needs` is known).
//! - A point of the history: `at_ms` (the wall clock), `weight`, and of `stable` and `canary` over the last ten seconds `requests`,
//!   `errors` (5xx and what was not answered in full), `in_flight`, and `p50_us`, `p95_us`, `p99_us`, each as lower bound, value and
//!   upper bound. `spectra`: of each version since the rollout began `requests` and `points`, each a percentile and its latency in µs.
//! - A `snapshot`, once a second: `at`, `at_ms`, `changes` (whether commands are taken here), `draining`, `judged_ms` (how long ago the
//!   controller judged), the `rollouts` as below without the `basis` of their evidence, and by service the newest point as `figures`
//!   and the `spectra`. `notices` and `projects` are told at first and when they change. A `transition` is an entry of the journal with
//!   its `sequence`, which is its id: who comes again with it as `Last-Event-ID`, or as `?after=`, is told what was missed.
//! - An entry of the journal: `service`, `rollout`, `at` (RFC 3339), `stable`, `canary`, `actor`, `phase`, `owner`, `from`, `to`,
//!   `generation`, `reason`, `evidence`, and with a raise, a watch or a promotion the evidence of all `gates`.
//! - Evidence: `gate`, `origin`, `verdict`, `rule`, `requests`, `breaches`, `unanswered`, `stable_requests`, `stable_breaches`, `log_e`,
//!   `log_threshold`, `alpha`, `estimate` (`value`, `lower`, `upper`) in its `unit`, `tipped_by` (each with `seq`, `started_ns`,
//!   `latency_ns`, `errors`), `generation`, `basis` (what `log_e` is computed from), `sentence`.

pub mod access;
pub mod beat;
pub mod body;
pub mod condition;
pub mod delivery;
pub mod events;
pub mod guard;
pub mod health;
pub mod idempotency;
pub mod journal;
pub mod live;
pub mod lockout;
mod names;
pub mod openapi;
mod operations;
pub mod page;
pub mod problem;
pub mod reading;
mod refusals;
mod reserve;
pub mod rollouts;
pub mod router;
mod seats;
pub mod server;
mod shapes;
pub mod state;

#[cfg(test)]
mod tests;
