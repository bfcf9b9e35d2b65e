//! Descriptors kept back for the admin listener: when the data plane has used up all others, an operator still gets in.
//!
//! Each connection that the process has no descriptor for takes the place of one that is kept back. It does not keep the data plane
//! from taking what is given up: there are several, and each is taken back as soon as one is free again.

use std::io;
use std::os::unix::net::UnixDatagram;

/// How many are kept back: for a few operators at once, each with a connection that follows and one that commands.
pub const KEPT: usize = 16;

/// What is kept back.
#[derive(Debug)]
pub struct Reserve {
    /// Sockets that nobody is at the other end of; they need no file.
    kept: Vec<UnixDatagram>,
    most: usize,
}

impl Reserve {
    /// Keeps as many as this back, or as many as there are.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let mut reserve = Self { kept: Vec::with_capacity(most), most };
        reserve.refill();
        reserve
    }

    /// Says whether all are there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.kept.len() >= self.most
    }

    /// Gives one up for somebody else to take; `false` when there is none.
    pub fn give_up_one(&mut self) -> bool {
        self.kept.pop().is_some()
    }

    /// Takes back what was given up, as far as there are descriptors.
    pub fn refill(&mut self) {
        while !self.is_whole() {
            let Ok(socket) = UnixDatagram::unbound() else { return };
            self.kept.push(socket);
        }
    }
}

/// Says whether something failed because the process, or the whole system, has no descriptor left (accept(2)).
#[must_use]
pub fn is_exhaustion(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_taken_back() {
        let mut reserve = Reserve::new(2);
        assert!(reserve.is_whole());
        assert!(reserve.give_up_one() && reserve.give_up_one() && !reserve.give_up_one());
        assert!(!reserve.is_whole());
        reserve.refill();
        assert!(reserve.is_whole());
    }
}
