//! The command `mailtide`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mailtide::cli::main()
}
