//! Fixed work on one thread, for callgrind to count its instructions.

#![forbid(unsafe_code)]

// Not the system's, so that its version says nothing about ours.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    orch_bench::instructions_main()
}
