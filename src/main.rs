//! Parses the command line, runs it and sets the exit code.

/// A proxy holds the same few kinds of objects for many requests at once; this allocator keeps a list for each, however many they are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    portcullis::cli::main()
}
