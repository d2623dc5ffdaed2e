//! Keeps one program for a host: see `orch_connect::keeper`. Started by the host, never by hand.

#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    orch_connect::keeper::main(std::env::args_os().skip(1))
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("a keeper needs Linux");
    ExitCode::from(2)
}
