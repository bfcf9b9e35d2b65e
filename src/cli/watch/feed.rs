//! Takes server-sent events (HTML standard, 9.2.6) apart as their bytes come.

/// The most bytes of an event that has not ended; more is no answer of a proxy.
const MOST: usize = 4 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its number, where it has one.
    pub id: Option<u64>,
    /// What it says.
    pub data: String,
}

/// The events of one stream.
#[derive(Debug, Default)]
pub struct Feed {
    pending: Vec<u8>,
    event: Event,
}

impl Feed {
    /// Takes in bytes and returns the events that end with them.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    events.push(event);
                }
                continue;
            }
            self.field(line);
        }
        if self.pending.len() + self.event.data.len() > MOST {
            *self = Self::default();
        }
        events
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.name),
            "id" => self.event.id = value.parse().ok(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments, `retry` and what later releases may add.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        "retry: 1000\n\n: hello\r\nevent: snapshot\ndata: {\"a\":1}\n\nevent: transition\nid: 7\ndata: x\ndata:y\n\ndata: cut";

    #[test]
    fn events_are_the_same_however_their_bytes_come() {
        let event = |name: &str, id, data: &str| Event { name: name.to_owned(), id, data: data.to_owned() };
        let wanted = [event("snapshot", None, "{\"a\":1}"), event("transition", Some(7), "x\ny")];
        for piece in 1..=STREAM.len() {
            let mut feed = Feed::default();
            let events: Vec<Event> = STREAM.as_bytes().chunks(piece).flat_map(|bytes| feed.push(bytes)).collect();
            assert_eq!(events, wanted, "{piece} bytes at a time");
        }
    }

    #[test]
    fn what_never_ends_is_forgotten() {
        let mut feed = Feed::default();
        for _ in 0..9 {
            assert_eq!(feed.push(&vec![b'x'; MOST / 8]), []);
        }
        assert!(feed.pending.len() <= MOST, "{}", feed.pending.len());
    }
}
