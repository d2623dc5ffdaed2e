//! Builds the capabilities and the configuration of the app into it.

#![forbid(unsafe_code)]

fn main() {
    tauri_build::build();
}
