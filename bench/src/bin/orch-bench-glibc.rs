//! The benchmarks with the allocator of the system, for all contenders.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    orch_bench::main("glibc")
}
