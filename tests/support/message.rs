//! A strict reader of HTTP/1.1: what a lenient one would repair is written down as a violation.

/// One request or answer, complete or not.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The three parts of the first line.
    pub line: [String; 3],
    /// Lower-case names and trimmed values, one character per byte.
    pub fields: Vec<(String, String)>,
    /// Fields after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Whether it ended.
    pub complete: bool,
    /// What is wrong with it.
    pub violations: Vec<String>,
}

/// Whose messages are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Says whether a text is a host with an optional port.
fn is_host(text: &str) -> bool {
    let end = text.strip_prefix('[').and_then(|rest| rest.find(']')).map_or_else(|| text.find(':'), |end| Some(end + 2));
    let (host, port) = text.split_at(end.unwrap_or(text.len()));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(&b));
    let ported = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    address.map_or(named, |address| address.parse::<std::net::Ipv6Addr>().is_ok())
        && (port.is_empty() || port.strip_prefix(':').is_some_and(ported))
}

/// Fields that mean something before a body and nothing behind it.
const NO_TRAILERS: [&str; 13] = [
    "content-length",
    "transfer-encoding",
    "host",
    "authorization",
    "cookie",
    "set-cookie",
    "forwarded",
    "content-encoding",
    "content-type",
    "content-range",
    "te",
    "trailer",
    "connection",
];

fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|w| w == needle)
}

impl Message {
    /// Returns all values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// Returns the only value of a field.
    #[track_caller]
    pub fn one(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} of {self:?}");
        values[0]
    }

    /// Returns an answer's status, 0 when it has none.
    pub fn status(&self) -> u16 {
        self.line[1].parse().unwrap_or(0)
    }

    /// Returns a request's target.
    pub fn target(&self) -> &str {
        &self.line[1]
    }

    fn flag(&mut self, violation: impl Into<String>) {
        self.violations.push(violation.into());
    }

    fn add_fields(&mut self, lines: &[&[u8]], trailers: bool) {
        for line in lines {
            let line = text(line);
            let Some((name, value)) = line.split_once(':').filter(|(name, _)| is_token(name)) else {
                self.flag(format!("bad field line {line:?}"));
                continue;
            };
            let value = value.trim_matches([' ', '\t']);
            if value.chars().any(|c| (c < ' ' && c != '\t') || c == '\x7f') {
                self.flag(format!("control byte in {name}"));
            }
            let field = (name.to_ascii_lowercase(), value.to_owned());
            if trailers { self.trailers.push(field) } else { self.fields.push(field) }
        }
    }

    /// Reads a chunked body; returns how many bytes it took once it ended.
    fn chunked(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let end = at + position(bytes.get(at..)?, b"\r\n")?;
            let line = text(&bytes[at..end]);
            if line.is_empty() || line.len() > 16 || !line.bytes().all(|b| b.is_ascii_hexdigit()) {
                self.flag(format!("bad chunk line {line:?}"));
                return None;
            }
            let size = usize::from_str_radix(&line, 16).ok()?;
            at = end + 2;
            if size == 0 {
                break;
            }
            let Some(after) = bytes.get(at + size..at + size + 2) else {
                self.body.extend_from_slice(bytes.get(at..).unwrap_or(&[]));
                return None;
            };
            self.body.extend_from_slice(&bytes[at..at + size]);
            if after != b"\r\n" {
                self.flag("chunk data not followed by CRLF");
                return None;
            }
            at += size + 2;
        }
        let mut lines = Vec::new();
        loop {
            let end = at + position(bytes.get(at..)?, b"\r\n")?;
            let line = &bytes[at..end];
            at = end + 2;
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        self.add_fields(&lines, true);
        let forbidden: Vec<String> = self.trailers.iter().map(|(n, _)| n.clone()).filter(|n| NO_TRAILERS.contains(&n.as_str())).collect();
        if !forbidden.is_empty() {
            self.flag(format!("trailers {forbidden:?}"));
        }
        Some(at)
    }

    fn length(&mut self) -> Option<usize> {
        let values: Vec<String> = self.all("content-length").into_iter().map(str::to_owned).collect();
        let first = values.first()?;
        let plain = first.bytes().all(|b| b.is_ascii_digit()) && (first == "0" || !first.starts_with('0')) && !first.is_empty();
        if values.len() > 1 || !plain {
            self.flag(format!("Content-Length {values:?}"));
        }
        first.parse().ok()
    }

    /// Reads the body; returns the rest of the bytes once it is complete.
    fn read_body<'a>(&mut self, bytes: &'a [u8], side: Side, bodyless: bool, closed: bool) -> &'a [u8] {
        let codings: Vec<String> = self.all("transfer-encoding").into_iter().map(str::to_owned).collect();
        let length = self.length();
        if !codings.is_empty() && length.is_some() {
            self.flag("Content-Length and Transfer-Encoding together");
        }
        if bodyless {
            self.complete = true;
            return bytes;
        }
        if !codings.is_empty() {
            if codings != ["chunked"] {
                self.flag(format!("Transfer-Encoding {codings:?}"));
            }
            let taken = self.chunked(bytes);
            self.complete = taken.is_some();
            return taken.map_or(&[], |taken| &bytes[taken..]);
        }
        match (length, side) {
            (Some(length), _) => {
                let taken = length.min(bytes.len());
                self.body = bytes[..taken].to_vec();
                self.complete = taken == length;
                &bytes[taken..]
            }
            (None, Side::Request) => {
                self.complete = true;
                bytes
            }
            (None, Side::Answer) => {
                self.body = bytes.to_vec();
                self.complete = closed;
                &[]
            }
        }
    }

    fn read(bytes: &[u8], side: Side, to_head: bool, closed: bool) -> (Self, &[u8]) {
        let mut message = Self::default();
        let Some(end) = position(bytes, b"\r\n\r\n") else {
            // A CR at the end may be half of a line's end that is still to come.
            let so_far = text(bytes.strip_suffix(b"\r").unwrap_or(bytes));
            if so_far.replace("\r\n", "").contains(['\r', '\n', '\0']) {
                message.flag("bare CR, bare LF or NUL in the head");
            }
            return (message, &[]);
        };
        let head = text(&bytes[..end]);
        let lines: Vec<&str> = head.split("\r\n").collect();
        if head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
            message.flag("bare CR, bare LF or NUL in the head");
        }
        let parts: Vec<&str> = lines[0].splitn(3, ' ').collect();
        match parts[..] {
            [a, b, c] => message.line = [a, b, c].map(str::to_owned),
            [a, b] if side == Side::Answer => message.line = [a, b, ""].map(str::to_owned),
            _ => message.flag(format!("bad first line {:?}", lines[0])),
        }
        let raw: Vec<Vec<u8>> = lines[1..].iter().map(|l| l.chars().map(|c| c as u8).collect()).collect();
        message.add_fields(&raw.iter().map(Vec::as_slice).collect::<Vec<_>>(), false);
        let status = message.status();
        let bodyless = side == Side::Answer && (to_head || (100..200).contains(&status) || status == 204 || status == 304);
        if side == Side::Request {
            message.check_request();
        } else if !matches!(message.line[0].as_str(), "HTTP/1.1" | "HTTP/1.0") || message.line[1].len() != 3 || status < 100 {
            message.flag(format!("bad status line {:?}", message.line));
        }
        let rest = message.read_body(&bytes[end + 4..], side, bodyless, closed);
        (message, rest)
    }

    /// Notes what a proxy must never send to an upstream, whatever it received.
    fn check_request(&mut self) {
        let [method, target, version] = self.line.clone();
        if !is_token(&method) || version != "HTTP/1.1" || target.chars().any(|c| c <= ' ' || c == '\x7f' || c == '#') {
            self.flag(format!("bad request line {method:?} {target:?} {version:?}"));
        }
        if matches!(method.as_str(), "CONNECT" | "TRACE" | "TRACK") {
            self.flag(format!("{method} forwarded"));
        }
        if !(target.starts_with('/') || target == "*" && method == "OPTIONS") {
            self.flag(format!("target {target:?}"));
        }
        let hosts: Vec<String> = self.all("host").into_iter().map(str::to_owned).collect();
        if !matches!(&hosts[..], [host] if is_host(host)) {
            self.flag(format!("Host {hosts:?}"));
        }
        // Together and alone they ask for a WebSocket, in words of the proxy's own.
        let switching = (self.all("connection"), self.all("upgrade")) == (vec!["upgrade"], vec!["websocket"]) && method == "GET";
        for name in
            ["connection", "keep-alive", "proxy-connection", "trailer", "upgrade", "http2-settings", "proxy-authorization", "expect"]
        {
            let asked = switching && matches!(name, "connection" | "upgrade");
            if !asked && !self.all(name).is_empty() {
                self.flag(format!("{name} forwarded"));
            }
        }
        if self.all("te").iter().any(|te| *te != "trailers") {
            self.flag("TE forwarded");
        }
    }
}

/// Reads one request; returns it and what follows it.
pub fn read_request(bytes: &[u8]) -> (Message, &[u8]) {
    Message::read(bytes, Side::Request, false, false)
}

/// Reads all requests of a connection; the last may be incomplete.
pub fn read_requests(mut bytes: &[u8]) -> Vec<Message> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (message, rest) = read_request(bytes);
        all.push(message);
        bytes = rest;
    }
    all
}

/// Reads all answers of a connection that asked with these methods (GET when there are more answers); `closed` says that the
/// connection ended, which completes a body without framing.
pub fn read_answers(mut bytes: &[u8], methods: &[&str], closed: bool) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    let mut finals = 0;
    while !bytes.is_empty() {
        let to_head = methods.get(finals) == Some(&"HEAD");
        let (message, rest) = Message::read(bytes, Side::Answer, to_head, closed);
        finals += usize::from(message.status() >= 200 || message.status() == 101);
        all.push(message);
        bytes = rest;
    }
    all
}
