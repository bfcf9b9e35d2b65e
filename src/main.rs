//! Parses the command line, runs it and sets the exit code.

fn main() -> std::process::ExitCode {
    portcullis::cli::main()
}
