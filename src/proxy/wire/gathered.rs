//! Makes one write of several small ones.

use std::cell::{Ref, RefCell};
use std::io;
use std::rc::Rc;

/// A worker's buffer in which small pieces become one: copying them costs less than the kernel takes to collect them.
#[derive(Clone, Debug, Default)]
pub struct Gathered(Rc<RefCell<Vec<u8>>>);

/// The most bytes that are gathered.
const MOST_GATHERED: usize = 8 * 1024;

impl Gathered {
    /// Puts small pieces one behind the other; `None` when they are not small.
    pub(super) fn gather(&self, pieces: &[io::IoSlice<'_>]) -> Option<Ref<'_, Vec<u8>>> {
        if pieces.iter().map(|piece| piece.len()).sum::<usize>() > MOST_GATHERED {
            return None;
        }
        let mut whole = self.0.borrow_mut();
        whole.clear();
        pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
        drop(whole);
        Some(self.0.borrow())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_gathered_anew_each_time_and_large_ones_are_left_alone() {
        let gathered = Gathered::default();
        let large = vec![b'x'; MOST_GATHERED];
        for (pieces, whole) in [
            ([&b"head"[..], b"body"], Some(&b"headbody"[..])),
            ([&large, b"x"], None),
            ([b"", &large], Some(&large)),
            ([b"", b"end"], Some(b"end")),
        ] {
            assert_eq!(gathered.gather(&pieces.map(io::IoSlice::new)).as_deref().map(Vec::as_slice), whole);
        }
    }
}
