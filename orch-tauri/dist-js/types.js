// Made from the Rust types by `ORCH_UPDATE=1 cargo test -p orch-tauri --features ts --test types`.
// Do not edit.
export {};
