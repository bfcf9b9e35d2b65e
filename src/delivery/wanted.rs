//! What the process wants of the engine.

/// What is wanted of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To bring back what was live and begin nothing: the process before this one may still have the traffic.
    Restore,
    /// To deliver.
    Deliver,
    /// To begin nothing more: from here on what fails says nothing of a version.
    Freeze,
    /// To leave everything that is live as it is and let go of the state, for the process that succeeds this one.
    Release,
    /// To stop what does not outlive the process, and end; so it is too where nobody is left who could want anything.
    End,
}
