//! Ends this process when its standard input ends, so that a parent that dies, however it dies, leaves nothing behind.

use std::io::{self, Read};
use std::thread;

/// Follows the standard input to its end on a thread of its own, then ends the process with exit code 0.
///
/// The end is abrupt: nobody is left to wait for a drain. A parent that wants one sends SIGTERM instead.
///
/// # Errors
///
/// The thread cannot be made.
pub fn follow_stdin() -> io::Result<()> {
    thread::Builder::new().name("leash".to_owned()).spawn(|| {
        let mut input = io::stdin().lock();
        let mut ignored = [0; 256];
        loop {
            match input.read(&mut ignored) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => std::process::exit(0),
            }
        }
    })?;
    Ok(())
}
