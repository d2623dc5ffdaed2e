//! The benchmarks with mimalloc, for all contenders.

#![forbid(unsafe_code)]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    orch_bench::main("mimalloc")
}
