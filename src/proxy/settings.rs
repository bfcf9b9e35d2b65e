//! What the operator may set of the data plane, with the secure defaults.

use std::time::Duration;

use ipnet::IpNet;

use crate::domain::timeouts::Timeouts;

/// The largest head of a request or response, in bytes.
pub const MAX_HEAD: usize = 32 * 1024;
/// The most fields a head may have.
pub const MAX_FIELDS: usize = 100;
/// The longest request target, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;
/// The longest field value, in bytes.
pub const MAX_VALUE: usize = 16 * 1024;
/// The most informational answers before a final one.
pub const MAX_INFORMATIONAL: u32 = 16;
/// The longest an idle upstream connection is kept; below the keep-alive of common servers.
pub const POOL_IDLE: Duration = Duration::from_secs(3);
/// The least a client must send of its body while it is waited for, on average after the grace, in bytes per second.
pub const LEAST_UPLOAD: u64 = 1024;
/// The most bytes of requests' bodies that one worker keeps at a time to send them again; what does not fit is sent once.
pub const MAX_KEPT: usize = 16 * 1024 * 1024;
/// The longest a client may owe its body before it must keep a rate.
pub const UPLOAD_GRACE: Duration = Duration::from_secs(10);
/// The most idle connections per worker and endpoint. No more are idle than were in use at once within [`POOL_IDLE`].
pub const POOL_SIZE: usize = 1024;
/// The most connections to a version that one worker makes at once, where none is configured.
pub const PENDING: u32 = 256;

/// The data plane's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many workers.
    pub workers: usize,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Peers whose `X-Forwarded-*` and `Forwarded` fields are believed.
    pub trusted: Vec<IpNet>,
    /// Whether those of peers over a Unix socket are.
    pub trusts_sockets: bool,
    /// Whether bare LF, and Content-Length together with Transfer-Encoding, are refused.
    pub strict: bool,
    /// The most client connections per worker.
    pub connections: usize,
    /// The most connections of one source, over all workers; trusted proxies have no such limit.
    pub per_source: u32,
    /// How much memory the process may have before it sheds load, in bytes; `None` for as much as it likes.
    pub memory: Option<u64>,
    /// What every answer tells its client of the version that gave it.
    pub tells: Tells,
    /// The name in `Via` and `Proxy-Status`, different for every instance so that loops are told from chains.
    pub pseudonym: String,
}

/// What every answer tells its client of the version that gave it; nothing as a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tells {
    /// Its name, as `X-Portcullis-Version`.
    pub version: bool,
    /// How long it took until the head of its answer, as `Server-Timing`.
    pub timing: bool,
}

impl Default for Settings {
    /// One worker that trusts nobody, with as many connections as it likes.
    fn default() -> Self {
        Self {
            workers: 1,
            timeouts: Timeouts::default(),
            trusted: Vec::new(),
            trusts_sockets: false,
            strict: false,
            connections: usize::MAX,
            per_source: u32::MAX,
            memory: None,
            tells: Tells::default(),
            pseudonym: "portcullis".to_owned(),
        }
    }
}

/// What an HTTP/2 connection to a version may do.
pub mod upstream_http2 {
    use std::time::Duration;

    /// Requests at once, where the version allows more.
    pub const STREAMS: usize = 100;
    /// Connections per worker and endpoint; with all of them full, requests wait their turn.
    pub const LANES: usize = 8;
    /// How many bytes of an answer may come unasked.
    pub const STREAM_WINDOW: u32 = 128 * 1024;
    /// The same where more than [`FEW`] answers share a connection: a client that takes none of them pins them all.
    ///
    /// With the head of its frame it is a little less than 16 KiB, which is what allocators round up to.
    pub const NARROW_WINDOW: u32 = 15 * 1024;
    /// How many answers may each bring [`STREAM_WINDOW`] unasked.
    pub const FEW: usize = 4;
    /// How many answers over all connections of a worker may each bring [`STREAM_WINDOW`] unasked: those of one client may come from
    /// many endpoints.
    pub const FEW_IN_ALL: usize = 16;
    /// For how many seconds there must be few before they may again: each change costs a round trip, and some take many for an attack.
    pub const CALM: u32 = 10;
    /// The same for all answers of a connection: none waits because a client does not take others.
    pub const CONNECTION_WINDOW: u32 = STREAMS as u32 * STREAM_WINDOW;
    /// The largest frame, in bytes.
    pub const FRAME: u32 = 16 * 1024;
    /// The most bytes of a request's body that wait for the connection.
    pub const SEND_BUFFER: usize = 64 * 1024;
    /// The most streams that we reset for a version's errors before its connection ends.
    pub const LOCAL_RESETS: usize = 100;
    /// For how many sweeps, of 100 ms each, a connection without a request is kept.
    pub const IDLE_SWEEPS: u32 = 300;
    /// After how many seconds of silence a request that gives up casts doubt on its connection.
    pub const DOUBT_AFTER: u32 = 2;
    /// After how many seconds of silence a version that owes answers is asked whether it is still there.
    pub const PING_AFTER: u32 = 10;
    /// How many seconds its answer may take.
    pub const PING_TIMEOUT: u32 = 10;
    /// How many seconds must pass before it is asked again: servers of gRPC take more for an attack.
    pub const PING_PAUSE: u32 = 300;
    /// How long saying goodbye may take.
    pub const FAREWELL: Duration = Duration::from_secs(1);
}

/// What an HTTP/2 connection from a client may do.
pub mod http2 {
    use std::time::Duration;

    /// Streams at once.
    pub const STREAMS: u32 = 100;
    /// How many bytes of a request's body may come unasked.
    pub const STREAM_WINDOW: u32 = 64 * 1024;
    /// The same for all requests of a connection: no upload waits because a version does not read others.
    pub const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;
    /// The largest frame, in bytes.
    pub const FRAME: u32 = 16 * 1024;
    /// The largest list of fields, in bytes as RFC 9113 section 10.5.1 counts them.
    pub const HEADER_LIST: u32 = 16 * 1024;
    /// The size of the table of known fields, in bytes.
    pub const TABLE: u32 = 4096;
    /// The most bytes of an answer that wait for a stream's window.
    pub const SEND_BUFFER: usize = 64 * 1024;
    /// The most streams that were reset before anybody looked at them.
    pub const PENDING_RESETS: usize = 20;
    /// The most streams that we reset for a client's errors (CVE-2025-8671).
    pub const LOCAL_RESETS: usize = 100;
    /// How often a silent client is asked whether it is still there.
    pub const PING_INTERVAL: Duration = Duration::from_secs(20);
    /// How long its answer may take.
    pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
    /// How much of an answer is read at once, in bytes: what a stream without window pins.
    pub const PIECE: usize = 16 * 1024;
}
