//! Finds where WebSocket frames end (RFC 6455 section 5.2): only between two of them may a frame of ours be put.

/// Walks over the bytes of one direction, which may come in any pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameWalk {
    state: State,
    opcode: u8,
    closed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between two frames.
    #[default]
    Between,
    /// Behind the first byte.
    Begun,
    /// In a length of more than 7 bits, of which so many bytes are still to come.
    Length { missing: u8, length: u64, mask: u64 },
    /// So many bytes before the end of the frame.
    Within(u64),
}

/// The opcode of a Close frame.
const CLOSE: u8 = 8;

impl FrameWalk {
    /// Says whether the last byte was the last one of a frame, or none has come.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// Says whether a Close frame has passed, behind which nothing may come.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes in bytes.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Takes in bytes to the end of a frame at most; returns how many.
    pub fn step(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken) {
            if let State::Within(left) = self.state {
                let rest = bytes.len() - taken;
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest);
                self.within(left - length as u64);
                taken += length;
            } else {
                self.head(*byte);
                taken += 1;
            }
            if self.state == State::Between {
                break;
            }
        }
        taken
    }

    /// Takes in a byte of a frame's head.
    fn head(&mut self, byte: u8) {
        match self.state {
            State::Between => {
                self.opcode = byte & 0x0f;
                self.state = State::Begun;
            }
            State::Begun => {
                let mask = if byte & 0x80 == 0 { 0 } else { 4 };
                match byte & 0x7f {
                    126 => self.state = State::Length { missing: 2, length: 0, mask },
                    127 => self.state = State::Length { missing: 8, length: 0, mask },
                    length => self.within(u64::from(length) + mask),
                }
            }
            State::Length { missing, length, mask } => {
                let length = length << 8 | u64::from(byte);
                if missing == 1 {
                    self.within(length.saturating_add(mask));
                } else {
                    self.state = State::Length { missing: missing - 1, length, mask };
                }
            }
            State::Within(_) => {}
        }
    }

    fn within(&mut self, left: u64) {
        self.state = if left == 0 { State::Between } else { State::Within(left) };
        self.closed |= left == 0 && self.opcode == CLOSE;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One frame of this opcode and payload, with its length in the form that `form` asks for at least.
    fn frame(opcode: u8, payload: &[u8], form: u8, masked: bool) -> Vec<u8> {
        let bit = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x80 | opcode];
        match (payload.len(), form) {
            (length @ 0..126, 0) => bytes.push(bit | u8::try_from(length).unwrap()),
            (length @ 0..65_536, 0 | 1) => {
                bytes.push(bit | 126);
                bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            (length, _) => {
                bytes.push(bit | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        if masked {
            bytes.extend_from_slice(&[1, 2, 3, 4]);
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn a_close_frame_is_known_once_all_of_it_has_passed() {
        let mut walk = FrameWalk::default();
        walk.pass(&frame(1, b"hello", 0, false));
        let close = frame(8, &[3, 0xf4], 0, true);
        walk.pass(&close[..close.len() - 1]);
        assert_eq!((walk.is_between(), walk.is_closed()), (false, false));
        walk.pass(&close[close.len() - 1..]);
        assert_eq!((walk.is_between(), walk.is_closed()), (true, true));
    }

    #[test]
    fn a_length_beyond_all_bounds_never_ends() {
        let mut walk = FrameWalk::default();
        walk.pass(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
        assert_eq!(walk.step(&[0; 100]), 100);
        assert!(!walk.is_between());
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let lengths = prop_oneof![Just(0), 1..200_usize, Just(125), Just(126), Just(127), Just(65_535), Just(65_536)];
        let one = (0..16_u8, lengths, 0..3_u8, any::<bool>());
        prop::collection::vec(one.prop_map(|(opcode, length, form, masked)| frame(opcode, &vec![opcode; length], form, masked)), 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whoever has written the frames knows where they end.
        #[test]
        fn boundaries_are_where_frames_end_however_the_bytes_come(frames in frames(), piece in 1..3_000_usize) {
            let whole = frames.concat();
            let ends: Vec<usize> = frames.iter().scan(0, |at, frame| { *at += frame.len(); Some(*at) }).collect();
            let (mut walk, mut at) = (FrameWalk::default(), 0);
            for bytes in whole.chunks(piece) {
                walk.pass(bytes);
                at += bytes.len();
                prop_assert_eq!(walk.is_between(), ends.contains(&at));
            }
            let (mut walk, mut at, mut found) = (FrameWalk::default(), 0, Vec::new());
            while at < whole.len() {
                at += walk.step(&whole[at..whole.len().min(at + piece)]);
                if walk.is_between() { found.push(at) }
            }
            prop_assert_eq!(found, ends);
        }
    }
}
