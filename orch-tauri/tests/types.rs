//! The types of `guest-js/types.ts` are those of Rust. `ORCH_UPDATE=1` writes the file anew.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use orch_tauri::*;
use ts_rs::{Config, TS, TypeVisitor};

const HEAD: &str = "// Made from the Rust types by `ORCH_UPDATE=1 cargo test -p orch-tauri --features ts \
     --test types`.\n// Do not edit.\n";

/// Every declaration by its name.
struct Types {
    config: Config,
    seen: BTreeSet<TypeId>,
    declarations: BTreeMap<String, String>,
}

impl TypeVisitor for Types {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        if T::output_path().is_some() {
            let docs = T::docs().unwrap_or_default();
            let declaration = T::decl(&self.config);
            let declaration = format!("{docs}export {declaration}\n");
            self.declarations.insert(T::ident(&self.config), declaration);
        }
        T::visit_dependencies(self);
        T::visit_generics(self);
    }
}

fn types() -> String {
    let config = Config::new().with_large_int("number");
    let mut types = Types { config, seen: BTreeSet::new(), declarations: BTreeMap::new() };
    types.visit::<RegisterAgentArgs>();
    types.visit::<AgentArgs>();
    types.visit::<RunArgs>();
    types.visit::<CreateOrchestratorArgs>();
    types.visit::<StartOrchestratorArgs>();
    types.visit::<SendMessageArgs>();
    types.visit::<BroadcastMessageArgs>();
    types.visit::<ResendDeadLetterArgs>();
    types.visit::<SubscribeEventsArgs>();
    types.visit::<RegisterAgentResponse>();
    types.visit::<StartOrchestratorResponse>();
    types.visit::<StopOrchestratorResponse>();
    types.visit::<SendMessageResponse>();
    types.visit::<BroadcastMessageResponse>();
    types.visit::<Snapshot>();
    types.visit::<EventFrame>();
    types.visit::<NumberedEvent>();
    types.visit::<Error>();
    types.visit::<orch_runtime::AgentConfig>();
    types.visit::<orch_runtime::DeadLetter>();
    let declarations: Vec<&str> = types.declarations.values().map(String::as_str).collect();
    let text = format!("{HEAD}\n{}", declarations.join("\n"));
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn the_typescript_types_are_those_of_rust() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-js/types.ts");
    let types = types();
    if std::env::var_os("ORCH_UPDATE").is_some() {
        std::fs::write(&path, &types).expect("the file can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, types, "{HEAD}");
}
