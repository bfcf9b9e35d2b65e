//! Portcullis stands in the path of a service's traffic, gives a new version a share of it, judges that
//! version from the response times and failures it sees itself, and takes the share back the moment the
//! evidence suffices.
//!
//! # Architecture
//!
//! Two planes that never import each other, joined by two one-way streets: **routes go down, measurements
//! come up**. Beneath both lies a pure domain that is told the time and dealt the cards.
//!
//! ```text
//!             cli ─────► app          L6, L5: app is the composition root, the only module that knows everybody
//!                         │
//!                       admin         L4: the API and the scrape endpoint
//!                         │
//!      delivery · kube · notify · telemetry · simulate   L3: edges; they never import each other
//!                         │
//!  control ────────►  │  ◄──────── proxy     config · load · carts · sources     L2: never import each other
//!      │  publish     ▼   samples, trips │
//!      └──────►  seam: routes · recorder · tripwire · clock ◄──┘   formats · store      L1: never import each other
//!                     │
//!                  domain             L0: no I/O, no clock, no chance, no async
//! ```
//!
//! A module imports only from lower layers; two modules of one layer never import each other; files do not
//! import in circles; `domain` names no clock, socket, file, thread, random source or async; a file is at
//! most 400 lines and opens with a sentence that says what it is for. `tests/architecture.rs` holds this.
//!
//! # The life of a request
//!
//! All of it stands in [`proxy::serve`], in order: a worker accepts (one current-thread runtime and one
//! `SO_REUSEPORT` listener per core) → hyper parses → [`proxy::sanitise`] refuses or cleans → the worker loads
//! one [`seam::table::Table`] and keeps it to the end → the split picks a version, unless the epoch has
//! tripped → the sample begins → the upstream answers within one time budget → the body streams back and
//! carries the sample to its last byte, an error, or a drop.
//!
//! # Rollouts without a network
//!
//! [`simulate`] runs whole rollouts in virtual time, thousands of them, through `control` and `domain` as they are: scenario
//! files in, verdicts, delays, harm and false alarms out.
//!
//! # The tripwire
//!
//! For a gate such as `p95 < 1s` each canary request is a trial: breach or not. The anytime-valid test is one
//! integer compare: roll back iff the k-th breach is request number n ≤ n_max\[k\] ([`domain::tripwire`]).
//! Whoever crosses the table sets one atomic flag that every worker reads at its next pick
//! ([`seam::tripwire`]); no tick, no channel, no lock and no I/O stands between evidence and effect.

pub mod domain;

pub mod seam;

pub mod formats;
pub mod store;

pub mod carts;
pub mod config;
pub mod control;
pub mod load;
pub mod proxy;
pub mod sources;

pub mod delivery;
pub mod kube;
pub mod notify;
pub mod simulate;
pub mod telemetry;

pub mod admin;

pub mod app;
pub mod cli;
